// A drafted chain to read, where an arm shows it before the verdict.
function draftSection(first) {
  const section = element('section', { className: 'findings drafted' },
    element('header', {}, element('h3', { textContent: `Draft by ${first.drafter}: ${capital(first.drafted_answer)} (${percent(first.drafted_prob)})` })),
    element('dl', {}, ...first.findings.filter(finding => finding.verdict).flatMap((finding, n) => [
      element('dt', { textContent: `${n + 1}. ${finding.label}: ${OPTIONS[finding.verdict]}` }),
      element('dd', { textContent: finding.text })])))
  section.setAttribute('aria-label', 'Draft')
  return section
}
