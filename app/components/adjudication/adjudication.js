// Adjudication: one case at a time, as the server tells it. A decision is one POST whose answer is the
// next case, sent again until it is answered; what was typed stays until the server has it.
const RESEND_MS = 2000
const STORE_OUT = 503
const ANSWER_MS = 10000
const WORDS = {
  left: 'Left', right: 'Right', cannot_tell: 'Cannot tell', broken: 'Broken image',
  tie: 'Same', yes: 'Yes', no: 'No',
}

function adjudication(root) {
  const $ = selector => root.querySelector(selector)
  const buttons = [...root.querySelectorAll('.verdicts button')]
  const note = $('.note textarea')
  let view = null
  let shownAt = null   // performance.now() when both pictures were painted
  let broken = false
  let sending = false
  let storeOut = false
  let stopped = false
  let timer = 0

  const images = pictures(root, isBroken => {
    broken = isBroken
    shownAt = performance.now()
    $('.desk').dataset.shown = view.decision
    if (broken) status('A picture does not load. Settle the pair as a broken image.')
    arm()
  })

  async function ask(path, body) {
    const options = body ? { method: 'POST', headers: { 'Content-Type': 'application/json', 'X-Desk': '1' }, body: JSON.stringify(body) } : {}
    const answer = await fetch(path, { signal: AbortSignal.timeout(ANSWER_MS), ...options })
    const text = await answer.text()
    let said
    try { said = JSON.parse(text) } catch {
      return { ok: false, body: { message: `The desk answered with error ${answer.status}`, hint: 'Nothing was stored; the log of the server says why.' } }
    }
    // The store may be usable again later: this is as good as a message that was lost, with a reason.
    const isOut = answer.status === STORE_OUT
    if (isOut) complain(said); else if (storeOut) complain(null)
    storeOut = isOut
    if (isOut) throw new Error(said.message)
    return { ok: answer.ok, body: said }
  }

  async function deliver(path, body) {
    sending = true
    arm()
    let answer
    try { answer = await ask(path, body) } catch {
      if (stopped) return
      status(body ? 'Not stored yet: trying again' : 'The desk does not answer: trying again')
      timer = setTimeout(() => deliver(path, body), RESEND_MS)
      return
    }
    if (stopped) return
    sending = false
    status('')
    if (answer.ok) { complain(null); show(answer.body) } else { complain(answer.body, answer.body.code === 'bad_state'); arm() }
  }

  const load = () => deliver('/adjudication/case')
  const status = words => { $('.saved').textContent = words }

  function complain(error, goesOn = false) {
    $('.alert').hidden = !error
    $('.alert p').textContent = error ? `${capital(error.message)}. ${error.hint}` : ''
    $('.go-on').hidden = !goesOn
  }

  function arm() {
    for (const button of buttons) button.disabled = sending || shownAt === null || (broken && button.dataset.verdict !== 'broken')
    for (const field of [note, ...root.querySelectorAll('.why input')]) field.disabled = sending
  }

  function decide(verdict) {
    const reason = $('.why input:checked')
    if (!reason) {
      complain({ message: 'No reason is chosen', hint: 'Choose why, then press the verdict again.' })
      $('.why input').focus()
      return
    }
    deliver('/adjudication/decide', {
      pair: view.pair, decision: view.decision, verdict, reason: reason.value, note: note.value,
      seen_ms: performance.now() - shownAt,
    })
  }

  function show(next) {
    const isSame = view?.pair === next.pair
    view = next
    shownAt = null
    broken = false
    $('.desk').dataset.shown = ''
    $('.desk').dataset.step = next.pair ? 'case' : 'empty'
    $('.title').textContent = next.pair ? next.title : 'Nothing to settle'
    $('.meta').textContent = next.category ?? ''
    $('.progress').textContent = next.num_waiting ? `${next.num_waiting} waiting` : ''
    $('.ask').textContent = next.pair ? asked(next)
      : 'Pairs come here when annotators disagree, or keep their verdict against the draft. Go on with Review, and look here again later.'
    $('.work').hidden = !next.pair
    if (!next.pair) { images.clear(); arm(); return }
    if (!isSame) {
      note.value = ''
      const legend = element('legend', { textContent: 'Why' })
      $('.why').replaceChildren(legend, ...Object.entries(next.reasons).map(([code, words]) =>
        element('label', {}, element('input', { type: 'radio', name: 'reason', value: code }), words)))
    }
    $('.opinions').replaceChildren(element('h3', { textContent: 'Judgements' }), opinionTable(next.opinions))
    $('.chains').replaceChildren(element('h3', { textContent: 'Chains' }), chainTable(next.chains))
    $('.heard').scrollTop = 0
    arm()
    images.show(next.images.map(sha256 => `/creative/${sha256}`))
  }

  for (const button of buttons) button.onclick = () => decide(button.dataset.verdict)
  $('.go-on').onclick = () => { complain(null); load() }
  load()
  return () => { stopped = true; clearTimeout(timer) }
}

function asked(view) {
  const told = []
  if (view.is_own) told.push('You judged this pair yourself, and so all that wait here.')
  if (view.earlier) {
    const { verdict, reason, note } = view.earlier
    told.push(`Settled before: ${WORDS[verdict]} (${reason}${note ? `: ${note}` : ''}). A new judgement came since.`)
  }
  if (view.queries.length) told.push(`Frequent searches: ${view.queries.join(', ')}`)
  return told.join(' ')
}

const cell = (tag, words, properties = {}) => element(tag, { textContent: words, ...properties })

function opinionTable(opinions) {
  const head = element('tr', {}, ...['Who', 'Blind', 'Final', 'Chain'].map(name => cell('th', name, { scope: 'col' })))
  const rows = opinions.map(each => element('tr', {},
    cell('th', each.name, { scope: 'row' }),
    cell('td', WORDS[each.blind]),
    cell('td', (each.final ? WORDS[each.final] : 'Not yet') + (each.reason ? ` (${each.reason})` : '')),
    cell('td', each.chain_status ? capital(each.chain_status) : '–')))
  return element('table', {}, element('thead', {}, head), element('tbody', {}, ...rows))
}

function chainTable(chains) {
  const of = side => chains.find(chain => chain.side === side)
  const columns = ['left', 'right'].map(side => ({ side, chain: of(side) }))
  const head = element('tr', {}, cell('th', 'Question', { scope: 'col' }), ...columns.map(({ side, chain }) =>
    cell('th', `For ${side}: ${chain ? chain.by : 'no chain'}`, { scope: 'col' })))
  const labels = [...new Set(chains.flatMap(chain => chain.findings.map(finding => finding.label)))]
  const rows = labels.map(label => element('tr', {}, cell('th', label, { scope: 'row' }), ...columns.map(({ chain }) => {
    const found = chain?.findings.find(finding => finding.label === label)
    return found ? element('td', {}, cell('b', WORDS[found.verdict]), found.text) : cell('td', '–')
  })))
  return chains.length ? element('table', {}, element('thead', {}, head), element('tbody', {}, ...rows))
    : cell('p', 'No chain was drafted or written for this pair.')
}

const mounted = new WeakMap()

export default function ({ parentElement }) {
  if (!mounted.has(parentElement)) mounted.set(parentElement, adjudication(parentElement))
  return () => { mounted.get(parentElement)?.(); mounted.delete(parentElement) }
}
