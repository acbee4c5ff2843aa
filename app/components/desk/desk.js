// The desk: one step at a time, as the server tells it. The browser keeps no cursor; every decision is
// one POST whose answer is the next step, sent again until it is answered.
const DWELL_MS = 400
const SECOND_TAP_MS = 250  // a key pressed twice by mistake is no answer to what its first press opened
const RESEND_MS = 2000
const KEEPALIVE_BYTES = 60000  // browsers refuse to send more than 64 KiB after a page has gone
const STORE_OUT = 503
const ANSWER_MS = 10000   // longer than any honest answer: a hanging connection is given up and tried again
const AUTOSAVE_MS = 1500  // a decision carries all edits, so it waits no longer for an autosave
const FINISH = {
  approve: { label: 'Approve', key: 'Enter', shown: '⏎' },
  keep_mine: { label: 'Keep mine', key: 'm', shown: 'm' },
  take_draft: { label: 'Take draft', key: 't', shown: 't' },
}
const OFFERS = { agree: ['approve'], no_draft: ['approve'], differ: ['keep_mine', 'take_draft'] }
const VERDICT_KEYS = { 1: 'left', ArrowLeft: 'left', 2: 'right', ArrowRight: 'right', 3: 'cannot_tell' }
const EMPTY_MS = 15000    // with nothing to do: what others give back, or a lead adds, comes by itself
const EMPTY = {
  nothing_built: { title: 'Nothing to judge yet', words: 'This workspace has no pairs to judge. Whoever runs it makes some with: creativepair pairs build' },
  none_open: { title: 'No pair is open to you', words: 'What is left is paused or is for other people. Ask your lead; what is opened for you shows here by itself.' },
  with_others: { title: 'Nothing for you right now', words: 'What is left is in other people’s hands. What they give back shows here by itself.' },
  all_judged: { title: 'Nothing left to judge', words: 'Every pair has been judged. Thank you.' },
}
const KEYS = { u: 'undo', s: 'skip', b: 'broken', p: 'problem', g: 'guidelines' }
const SIGNS_OF_LIFE = ['keydown', 'pointermove', 'pointerdown', 'wheel', 'visibilitychange']
const url = sha256 => `/creative/${sha256}`

function desk(root) {
  const $ = selector => root.querySelector(selector)
  const frame = $('.desk')
  let view = null
  let editor = null
  let shownAt = null        // performance.now() when the step was there to be seen
  let hiddenAt = null
  let hiddenMs = 0
  let broken = false
  let sending = false
  let storeOut = false
  let resend = 0
  let stopped = false
  let cameAt = 0            // performance.now() when the step came
  let askedAt = 0           // performance.now() when the reasons were offered
  let lastAlive = 0         // performance.now() when the server was told that somebody is here

  const images = pictures(root, isBroken => { broken = isBroken; arm() })

  // ---- network
  async function ask(path, options = {}) {
    const answer = await fetch(path, { signal: AbortSignal.timeout(ANSWER_MS), ...options })
    const text = await answer.text()
    let body
    try { body = JSON.parse(text) } catch {
      return { ok: false, body: { code: 'fault', message: `The desk answered with error ${answer.status}`, hint: 'Nothing was stored; the log of the server says why' } }
    }
    // The store may be usable again later: this is as good as a message that was lost, with a reason.
    const isOut = answer.status === STORE_OUT
    if (isOut) complain(body); else if (storeOut) complain(null)
    storeOut = isOut
    if (isOut) throw new Error(body.message)
    return { ok: answer.ok, body }
  }

  const post = (path, content, { keepalive = false } = {}) => {
    const body = JSON.stringify(content)
    const survives = keepalive && new Blob([body]).size < KEEPALIVE_BYTES
    return ask(path, { method: 'POST', keepalive: survives, headers: { 'Content-Type': 'application/json', 'X-Desk': '1' }, body })
  }

  const over = dialogs(root, { ask, post, leaseInHand: () => view?.lease, status: words => status(words) })

  // One decision at a time. A lost message is sent again with the same decision, which counts once.
  // Until it is answered the words cannot change: what is decided is what stands there.
  async function send(path, body, done = '') {
    if (sending) return
    sending = true
    paint()
    await Promise.race([editor?.flush(), new Promise(resolve => setTimeout(resolve, AUTOSAVE_MS))])
    deliver(path, body, done)
  }

  async function deliver(path, body, done) {
    let answer
    try { answer = await post(path, body) } catch {
      if (stopped) return
      status('Not stored yet: trying again')
      resend = setTimeout(() => deliver(path, body, done), RESEND_MS)
      return
    }
    sending = false
    if (answer.ok) {
      complain(null)
      show(answer.body)
      if (done && !view.practice_was) status(done)
    } else {
      complain(answer.body)
      if (answer.body.code === 'bad_state' || answer.body.code === 'not_found') load(); else { paint(); editor?.focus() }
    }
  }

  // Returns how the words will be stored, null to try again, undefined where trying is no use.
  async function autosave(lease, edits) {
    let answer
    try { answer = await post('/desk/autosave', { lease, edits }, { keepalive: true }) } catch { return null }
    if (answer.ok) return answer.body.stored
    if (answer.body.code === 'fault') return null
    if (!sending && view?.lease === lease) complain(answer.body)
  }

  // The server keeps a pair only for somebody who shows signs of life; a place that is gone shows at once.
  async function alive() {
    if (!view?.lease || sending || performance.now() - lastAlive < 1000 * view.alive_s) return
    lastAlive = performance.now()
    try { if (!(await post('/desk/alive', { lease: view.lease })).ok) load() } catch { /* the next sign of life tries again */ }
  }

  async function load() {
    try {
      const answer = await ask('/desk/step')
      if (answer.ok) show(answer.body); else complain(answer.body)
    } catch {
      if (stopped) return
      status('The desk does not answer: trying again')
      resend = setTimeout(load, RESEND_MS)
    }
  }

  // ---- what is shown
  const status = words => { $('.saved').textContent = words }

  function complain(error) {
    $('.alert').hidden = !error
    $('.alert p').textContent = error ? `${capital(error.message)}. ${error.hint}` : ''
  }

  function arm() {
    shownAt = performance.now()
    hiddenMs = 0
    hiddenAt = document.hidden ? shownAt : null
    frame.dataset.shown = view.decision ?? ''
    if (broken) complain({ message: 'A picture does not load', hint: 'Press b to report it as broken, or s to skip the pair.' })
    paint()
    images.preload(view.coming.map(url))
  }

  function show(next) {
    const samePair = view?.pair === next.pair && view?.step !== 'empty'
    const sameStep = samePair && view.decision === next.decision
    view = next
    lastAlive = performance.now()
    status(view.practice_was ? `That was practice: people clicked the ${view.practice_was} image more` : '')
    clearTimeout(resend)
    if (view.step === 'empty') resend = setTimeout(load, EMPTY_MS)
    if (sameStep) return paint()
    editor?.stop()
    editor = null
    shownAt = null
    cameAt = performance.now()
    frame.dataset.step = view.step
    frame.dataset.shown = ''
    frame.toggleAttribute('data-first', Boolean(view.shown_first))
    $('.reasons').hidden = true
    const empty = EMPTY[view.why_empty]
    $('.title').textContent = empty ? empty.title : view.title
    const practice = view.practice ? `practice ${view.practice.number} of ${view.practice.of}, not counted` : null
    $('.meta').textContent = [practice, view.category, view.synthetic ? 'synthetic' : null].filter(Boolean).join(' · ')
    $('.progress').textContent = `${view.num_done} done · ${view.num_open} to go${view.per_hour ? ` · ${view.per_hour} an hour` : ''}`
    $('.evidence-place').replaceChildren()
    $('.review-place').replaceChildren()
    $('.finish').replaceChildren()
    $('.legend').replaceChildren()
    if (empty) { images.clear(); $('.ask').textContent = `${empty.words}${view.undo ? ' Undo reopens your last one.' : ''}`; paint(); return }
    $('.ask').textContent = ''
    if (view.step === 'blind') {
      $('.ask').append(element('strong', { textContent: 'Which image is a user more likely to click?' }), view.queries.length ? ` Frequent searches: ${view.queries.join(', ')}` : '')
      if (view.shown_first) showFirst(view.shown_first)
    } else reveal()
    $('.legend').append(key('z'), ' zoom, arrows move')
    if (samePair) requestAnimationFrame(() => setTimeout(arm)); else images.show(view.images.map(url))
    if (!editor) $('.work').focus({ preventScroll: true })
    else editor.focus()
    paint()
  }

  // In some arms part of what the reveal shows stands there before the verdict.
  function showFirst(first) {
    if (first.has_evidence) $('.evidence-place').append(evidenceSection(first.evidence, first.labels))
    if (first.drafter) $('.review-place').append(draftSection(first))
  }

  function reveal() {
    const { reveal: r, lease } = view  // words belong to the lease they were typed under
    // Practice says what was right; the evidence and the draft below it say why.
    const right = r.expected ? ` ${r.expected === r.own ? 'That is right' : 'That is not what people did'}: people clicked the ${r.expected} image more.` : ''
    const drafted = r.drafted_answer ? `the draft says ${capital(r.drafted_answer)} (${percent(r.drafted_prob)})` : 'there is no draft'
    const clicks = r.evidence?.winner && !right ? `, the clicks say ${capital(r.evidence.winner)}` : ''
    $('.ask').append(element('strong', { textContent: `You said ${capital(r.own)}; ${drafted}${clicks}.${right}` }), { agree: ' Approve the reasons, or mend them first.', differ: ' Keep mine sets the draft’s reasons aside, Take draft approves them.', no_draft: ' Approve, or add findings of your own first.' }[r.case])
    $('.evidence-place').append(evidenceSection(r.evidence, r.labels))
    editor = findingsEditor({
      heading: r.drafter ? `Draft by ${r.drafter}` : 'Draft: none, findings are optional', findings: r.findings, labels: r.labels, own: r.own, onStatus: status, onEdit: () => complain(null),
      legend: [key('j'), key('k'), ' move ', key('space'), ' keep ', key('e'), ' edit ', key('v'), ' verdict ', key('x'), ' reject ', key('Esc'), ' leave a text'],
      save: edits => autosave(lease, edits),
    })
    $('.review-place').append(editor.section)
    $('.finish').append(...OFFERS[r.case].map(action => element('button', { type: 'button', onclick: () => finish(action) }, `${FINISH[action].label} `, key(FINISH[action].shown))))
  }

  function paint() {
    const ready = view !== null && !sending && shownAt !== null
    if (editor) editor.section.inert = sending
    for (const button of root.querySelectorAll('.verdicts button')) button.disabled = !ready || view.step !== 'blind' || broken
    for (const button of root.querySelectorAll('.finish button')) button.disabled = !ready
    $('[data-do=undo]').disabled = sending || !view?.undo
    $('[data-do=skip]').disabled = sending || !view?.lease
    $('[data-do=broken]').disabled = !ready || view.step !== 'blind'
    $('[data-do=problem]').disabled = !view?.lease
    $('[data-do=broken]').hidden = view?.step !== 'blind'
  }

  // ---- what is decided
  function timing() {
    const now = performance.now()
    return { seen_ms: now - shownAt, active_ms: now - shownAt - hiddenMs - (hiddenAt === null ? 0 : now - hiddenAt) }
  }

  const tooSoon = () => sending || shownAt === null || performance.now() - shownAt < DWELL_MS

  function verdict(name, reason = null) {
    if (view?.step !== 'blind' || tooSoon() || (broken && name !== 'broken')) return
    if (name === 'cannot_tell' && reason === null) return askReason()
    const done = name === 'broken' || name === 'cannot_tell' ? 'Stored. Undo brings the pair back' : ''
    send('/desk/blind', { lease: view.lease, decision: view.decision, verdict: name, reason, ...timing() }, done)
  }

  function askReason() {
    const place = $('.reasons')
    place.replaceChildren(element('span', { textContent: 'Why?' }),
      ...view.reasons.map((reason, n) => element('button', { type: 'button', onclick: () => verdict('cannot_tell', reason) }, `${capital(reason)} `, key(n + 1))),
      element('button', { type: 'button', onclick: () => { place.hidden = true } }, 'Back ', key('Esc')))
    place.hidden = false
    askedAt = performance.now()
  }

  function finish(action) {
    if (view?.step !== 'final' || tooSoon() || !OFFERS[view.reveal.case].includes(action)) return
    send('/desk/final', { lease: view.lease, decision: view.decision, action, edits: editor.edits(), ...timing() }, 'Stored')
  }

  // Pressed twice, these would be about the next pair, which nobody has seen yet.
  const justCame = () => performance.now() - cameAt < DWELL_MS
  const acts = {
    undo: () => view?.undo && !justCame() && send('/desk/undo', { decision: view.undo }, 'The last pair is open again'),
    skip: () => view?.lease && !justCame() && send('/desk/skip', { lease: view.lease }, 'Skipped. The pair comes back later'),
    broken: () => verdict('broken'),
    problem: () => view?.lease && over.openProblem(),
    guidelines: over.openGuidelines,
  }

  // ---- keys
  function onKey(event) {
    if (!view || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return
    if (over.isOpen()) return over.onKey(event)
    if (document.querySelector('[role=dialog]')) return
    const target = event.composedPath()[0]
    const inText = target.matches?.('textarea, select, [contenteditable=true], input:not([type=radio]):not([type=checkbox])')
    if (inText && !root.contains(target)) return
    if (editor?.onKey(event, target)) return consume(event)
    if (inText) return
    const does = keyAction(event, target)
    if (!does) return
    consume(event)
    if (!event.repeat) does()
  }

  function keyAction(event, target) {
    if (!$('.reasons').hidden) {
      const reason = view.reasons[Number(event.key) - 1]
      if (reason) return () => { if (performance.now() - askedAt >= SECOND_TAP_MS) verdict('cannot_tell', reason) }
      if (event.key === 'Escape') return () => { $('.reasons').hidden = true }
    }
    const look = images.lookAround(event.key)
    if (look) return look
    if (event.key in KEYS) return acts[KEYS[event.key]]
    if (event.key === 'z') return images.zoom
    if (view.step === 'blind' && VERDICT_KEYS[event.key]) return () => verdict(VERDICT_KEYS[event.key])
    if (view.step !== 'final') return null
    if ('123'.includes(event.key)) return () => status('Your first verdict stands. Finish the pair with the keys at the right')
    if (event.key === 'Enter' && target.matches?.('button, a, summary')) return null
    const action = OFFERS[view.reveal.case].find(name => FINISH[name].key === event.key)
    return action ? () => finish(action) : null
  }

  function consume(event) { event.preventDefault(); event.stopImmediatePropagation() }

  function onVisibility() {
    if (document.hidden) { hiddenAt = performance.now(); editor?.flush({ leaving: true }) } else if (hiddenAt !== null) { hiddenMs += performance.now() - hiddenAt; hiddenAt = null }
  }
  const onActive = () => { alive() }
  const onLeave = () => editor?.flush({ leaving: true })

  for (const button of root.querySelectorAll('.verdicts button')) button.onclick = () => verdict(button.dataset.verdict)
  for (const button of root.querySelectorAll('[data-do]')) button.onclick = () => acts[button.dataset.do]()
  $('.dismiss').onclick = () => complain(null)
  document.addEventListener('keydown', onKey, true)
  document.addEventListener('visibilitychange', onVisibility)
  window.addEventListener('pagehide', onLeave)
  for (const name of SIGNS_OF_LIFE) document.addEventListener(name, onActive, { capture: true, passive: true })
  load()
  return () => {
    stopped = true
    clearTimeout(resend)
    over.stop()
    editor?.flush({ leaving: true })
    document.removeEventListener('keydown', onKey, true)
    document.removeEventListener('visibilitychange', onVisibility)
    window.removeEventListener('pagehide', onLeave)
    for (const name of SIGNS_OF_LIFE) document.removeEventListener(name, onActive, { capture: true })
  }
}

// Streamlit calls the default export again at every run; the desk is mounted once per place.
const mounted = new WeakMap()

export default function ({ parentElement }) {
  if (!mounted.has(parentElement)) mounted.set(parentElement, desk(parentElement))
  return () => { mounted.get(parentElement)?.(); mounted.delete(parentElement) }
}
