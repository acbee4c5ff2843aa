// What the logs say, drawn after the verdict: a table, one sentence, a small interval plot.
const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)} %`

function evidenceSection(evidence, labels) {
  const section = element('section', { className: 'evidence' }, element('h3', { textContent: labels.evidence }))
  section.setAttribute('aria-label', labels.evidence)
  if (!evidence) {
    section.append(element('p', { textContent: labels.no_evidence }))
    return section
  }
  const head = element('tr', {}, ...labels.columns.map(name => element('th', { textContent: name, scope: 'col' })))
  const rows = evidence.sides.map(side => element('tr', { className: side.side === evidence.winner ? 'winner' : '' },
    element('th', { textContent: capital(side.side), scope: 'row' }),
    element('td', { textContent: side.shown.toLocaleString('en') }),
    element('td', { textContent: side.clicks.toLocaleString('en') }),
    element('td', { textContent: side.ctr === null ? '–' : percent(side.ctr, 2) })))
  section.append(element('table', {}, element('thead', {}, head), element('tbody', {}, ...rows)))
  section.append(element('p', { textContent: evidenceSentence(evidence) }))
  if (evidence.gap_low !== null) section.append(intervalPlot(evidence))
  return section
}

function evidenceSentence(evidence) {
  const traffic = evidence.randomised === null ? 'Whether traffic was randomised is not known.'
    : evidence.randomised ? 'Traffic was randomised.' : 'Traffic was not randomised.'
  if (evidence.winner === null) return `The logs favour neither side. ${traffic}`
  return `${capital(evidence.winner)} has the higher adjusted rate: +${percent(evidence.gap)} ` +
    `(95 %: ${percent(evidence.gap_low)} to ${percent(evidence.gap_high)}), ` +
    `probability ${evidence.winner_prob > 0.999 ? 'over 99.9 %' : percent(evidence.winner_prob, 1)}. ${traffic}`
}

// The axis is the ratio on a log scale, towards the side that each end names.
function intervalPlot(evidence) {
  const direction = evidence.winner === 'right' ? 1 : -1
  const [low, middle, high] = [evidence.gap_low, evidence.gap, evidence.gap_high].map(gap => Math.log1p(Math.max(gap, -0.95)) * direction)
  const reach = Math.max(Math.log(2), Math.abs(low), Math.abs(high)) * 1.08
  const x = value => 130 + 120 * value / reach
  const text = (at, anchor, words) => { const t = svg('text', { x: at, y: 34, 'text-anchor': anchor }); t.textContent = words; return t }
  const plot = svg('svg', { viewBox: '0 0 260 38', role: 'img', class: 'interval' },
    svg('line', { x1: 10, x2: 250, y1: 14, y2: 14, class: 'axis' }),
    svg('line', { x1: x(0), x2: x(0), y1: 4, y2: 24, class: 'zero' }),
    svg('line', { x1: x(low), x2: x(high), y1: 14, y2: 14, class: 'span' }),
    svg('circle', { cx: x(middle), cy: 14, r: 5, class: 'point' }),
    text(10, 'start', '← left better'), text(130, 'middle', 'even'), text(250, 'end', 'right better →'))
  plot.setAttribute('aria-label', evidenceSentence(evidence))
  return plot
}
