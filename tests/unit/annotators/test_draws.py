from collections import Counter

from annotators.draws import draw_arm, draw_number
from creativepair.records import Arm
from creativepair.workspace import Review

IDS = [f"{n:016x}" for n in range(4_000)]


def test_arms_come_in_their_shares_for_each_person() -> None:
    review = Review(blind_only=0.1, draft_first=0.2, ctr_first=0.05, both_first=0.15)
    for annotator in ("ann", "bob"):
        drawn = Counter(draw_arm(review.arm_shares, 0, annotator, i, 1) for i in IDS)
        for arm, share in review.arm_shares.items():
            # Five standard deviations of a binomial of 4,000.
            limit = 5 * (len(IDS) * share * (1 - share)) ** 0.5
            assert abs(drawn[arm] - len(IDS) * share) < limit, arm
    assert review.arm_shares[Arm.BLIND] == 0.5


def test_two_people_get_their_arms_apart() -> None:
    shares = Review(blind_only=0.5).arm_shares
    same = sum(draw_arm(shares, 0, "ann", i, 1) is draw_arm(shares, 0, "bob", i, 1) for i in IDS)
    assert abs(same - 2_000) < 5 * 31.7  # sd of 4,000 fair draws: 31.6


def test_without_shares_every_arm_is_blind() -> None:
    shares = Review(blind_only=0.0).arm_shares
    assert {draw_arm(shares, 0, "ann", i, 1) for i in IDS[:200]} == {Arm.BLIND}


def test_numbers_are_uniform_and_the_same_whenever_asked() -> None:
    drawn = [draw_number(0, "check", i) for i in IDS]
    assert 0 <= min(drawn) < 0.01
    assert 0.99 < max(drawn) < 1
    assert abs(sum(drawn) / len(drawn) - 0.5) < 5 * 0.2887 / len(IDS) ** 0.5
    assert drawn == [draw_number(0, "check", i) for i in IDS]
