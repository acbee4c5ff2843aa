import pickle

import pytest

from creativepair.errors import ChainError, CreativePairError, InputError, StoreError


@pytest.mark.parametrize(
    "error",
    [
        InputError("row 3: clicks is -1", hint="Mend the row."),
        StoreError("the disk is full", hint="Make room."),
        ChainError(["no answer", "no question"]),
    ],
)
def test_an_error_travels_between_processes_as_it_is(error: CreativePairError) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert (str(arrived), vars(arrived)) == (str(error), vars(error))
