// The findings of a chain, one row each. The text area and the radio buttons are the state until the
// server has them: nothing redraws a row while somebody works on it.
const OPTIONS = { left: 'Left', right: 'Right', tie: 'Same', yes: 'Yes', no: 'No' }

function findingsEditor({ heading, legend, findings, labels, own, save, onStatus, onEdit }) {
  const list = element('ol')
  const section = element('section', { className: 'findings' },
    element('header', {}, element('h3', { textContent: heading }), element('p', { className: 'keys' }, ...legend)), list)
  section.setAttribute('aria-label', 'Draft')
  let at = 0
  let timer = 0
  let sent = Promise.resolve()
  let stopped = false
  const dirty = new Set()

  function row(finding, n) {
    const item = element('li', { tabIndex: -1, onfocus: () => { at = n } })
    item.setAttribute('aria-label', `${n + 1}. ${finding.label}`)
    item.dataset.action = finding.action
    const segments = element('div', { className: 'segments', role: 'radiogroup' }, ...finding.options.map(value =>
      element('label', {}, element('input', { type: 'radio', name: `finding-${n}`, value, checked: finding.verdict === value, onchange: () => edited(n) }), OPTIONS[value])))
    segments.setAttribute('aria-label', `Verdict: ${finding.label}`)
    const text = element('textarea', { value: finding.text, rows: 1, maxLength: 100000, spellcheck: false, oninput: () => edited(n), onfocus: () => { at = n } })
    text.setAttribute('aria-label', `${labels.text}: ${finding.label}`)
    const action = (name, words) => {
      const button = element('button', { type: 'button', textContent: words, onclick: () => { at = n; act(n, name) } })
      button.dataset.action = name
      button.setAttribute('aria-label', `${words}: ${finding.label}`)
      return button
    }
    item.append(
      element('div', { className: 'question', title: finding.asks }, element('span', { textContent: `${n + 1}. ${finding.label}` }), element('small')),
      segments, text, element('div', { className: 'row-actions' }, action('keep', 'Keep'), action('reject', 'Reject')),
      element('p', { className: 'stored' }))
    return item
  }

  const verdictOf = n => list.children[n].querySelector('input:checked')?.value ?? null
  const textOf = n => list.children[n].querySelector('textarea').value
  const read = n => ({ question: findings[n].question, verdict: verdictOf(n), typed: textOf(n), action: list.children[n].dataset.action })
  const edits = () => [...list.children].map((_, n) => n).filter(n => list.children[n].dataset.action).map(read)

  function paint(n) {
    const item = list.children[n]
    const action = item.dataset.action
    for (const button of item.querySelectorAll('button')) button.setAttribute('aria-pressed', button.dataset.action === action)
    const against = own && ['left', 'right'].includes(verdictOf(n)) && verdictOf(n) !== own
    const state = { keep: 'kept', edit: 'edited', reject: 'rejected' }[action]
    item.querySelector('small').textContent = [state, against ? 'leans the other way' : ''].filter(Boolean).join(' · ')
    item.tabIndex = n === at ? 0 : -1
  }

  function move(to) {
    at = Math.max(0, Math.min(list.children.length - 1, to))
    for (let n = 0; n < list.children.length; n++) paint(n)
    list.children[at].focus({ preventScroll: true })
    list.children[at].scrollIntoView({ block: 'nearest' })
  }

  function act(n, action) {
    if (action === 'keep') {
      const box = list.children[n].querySelector('textarea')
      box.value = findings[n].drafted_text
      for (const input of list.children[n].querySelectorAll('input')) input.checked = input.value === findings[n].drafted_verdict
    }
    list.children[n].dataset.action = action
    touch(n)
  }

  function edited(n) {
    const same = verdictOf(n) === findings[n].drafted_verdict && textOf(n) === findings[n].drafted_text
    list.children[n].dataset.action = same ? 'keep' : 'edit'
    touch(n)
  }

  function touch(n) {
    paint(n)
    dirty.add(n)
    onEdit()
    onStatus('Saving…')
    clearTimeout(timer)
    timer = setTimeout(flush, 400)
  }

  // Plain POSTs, no rerun while somebody types. One after another, so that older words never land
  // on newer ones; on leaving there is no time to wait, and `keepalive` lets the last words survive.
  function flush({ leaving = false } = {}) {
    clearTimeout(timer)
    return leaving ? push() : (sent = sent.then(push))
  }

  async function push() {
    if (!dirty.size) return
    const rows = [...dirty]
    dirty.clear()
    const stored = await save(rows.map(read))
    if (stored === null) {
      if (stopped) return
      rows.forEach(n => dirty.add(n))
      onStatus('Not saved yet: trying again')
      timer = setTimeout(flush, 2000)
      return
    }
    if (stored === undefined) { if (!stopped) onStatus('Not saved'); return }
    for (const n of rows) {
      const words = stored[findings[n].question]
      const converted = list.children[n].dataset.action === 'edit' && words && words.includes('{')
      list.children[n].querySelector('.stored').textContent = converted ? `Stored by image, not by side: ${words}` : ''
    }
    if (!dirty.size && !stopped) onStatus('Saved')
  }

  function changeVerdict(n) {
    const inputs = [...list.children[n].querySelectorAll('input')]
    inputs[(inputs.findIndex(input => input.checked) + 1) % inputs.length].checked = true
    edited(n)
  }

  function write(n) {
    const box = list.children[n].querySelector('textarea')
    box.focus()
    box.setSelectionRange(box.value.length, box.value.length)
  }

  // Returns whether the key was one of ours.
  function onKey(event, target) {
    if (target.matches?.('textarea')) {
      if (event.key !== 'Escape') return false
      move(at)
      return true
    }
    const onButton = target.matches?.('button, a, summary')
    const does = {
      j: () => move(at + 1), k: () => move(at - 1), v: () => changeVerdict(at), x: () => act(at, 'reject'),
      e: () => write(at), ' ': onButton ? null : () => { act(at, 'keep'); move(at + 1) },
    }[event.key]
    if (!does || (event.repeat && !'jk'.includes(event.key))) return Boolean(does)
    does()
    return true
  }

  list.append(...findings.map(row))
  for (let n = 0; n < findings.length; n++) paint(n)
  return { section, edits, flush, onKey, focus: () => move(at), stop: () => { stopped = true; clearTimeout(timer) } }
}
