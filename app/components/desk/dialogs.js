// What opens over the desk: the guidelines and the form for a problem. While one is open, the keys of
// the desk are dead; Esc closes it.

// Headings, lists, bold and code; all else is shown as it stands, and nothing becomes HTML.
function markdownNodes(text) {
  const inline = line => line.split(/(\*\*[^*]+\*\*|`[^`]+`)/).map(part =>
    part.startsWith('**') && part.length > 4 ? element('strong', { textContent: part.slice(2, -2) })
      : part.startsWith('`') && part.length > 2 ? element('code', { textContent: part.slice(1, -1) }) : part)
  const nodes = []
  let open = null  // the paragraph or list that the next line may go on
  for (const line of text.split('\n')) {
    const heading = /^#{1,6}\s+(.*)/.exec(line)
    const point = /^\s*(?:[-*+]|(\d+)[.)])\s+(.*)/.exec(line)
    if (!line.trim()) open = null
    else if (heading) { nodes.push(element('h4', {}, ...inline(heading[1]))); open = null } else if (point) {
      const tag = point[1] ? 'OL' : 'UL'
      if (open?.tagName !== tag) nodes.push(open = element(tag))
      open.append(element('li', {}, ...inline(point[2])))
    } else if (open) (open.tagName === 'P' ? open : open.lastChild).append(' ', ...inline(line.trim()))
    else nodes.push(open = element('p', {}, ...inline(line)))
  }
  return nodes
}

// `ask` and `post` reach the server; `leaseInHand` is whose pair a problem is about.
function dialogs(root, { ask, post, leaseInHand, status }) {
  const guide = root.querySelector('.guide')
  const problem = root.querySelector('.problem')
  const form = problem.querySelector('form')
  const fields = problem.querySelector('fieldset')
  let report = null   // what is written, until the server has it: its id makes sending twice harmless
  let resend = 0
  let stopped = false

  async function openGuidelines() {
    const body = guide.querySelector('.guide-text')
    body.textContent = 'Loading'
    guide.showModal()
    try {
      const answer = await ask('/desk/guidelines')
      if (answer.ok) {
        body.replaceChildren(...markdownNodes(answer.body.text))
        guide.querySelector('.guide-version').textContent = `Version ${answer.body.version}`
      } else body.textContent = `${answer.body.message}. ${answer.body.hint}`
    } catch { body.textContent = 'The desk does not answer. Close this and try again.' }
  }

  function say(words) { problem.querySelector('.said').textContent = words }

  function openProblem() {
    const lease = leaseInHand()
    if (!fields.disabled && lease && report?.lease !== lease) {
      report = { lease, report: Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('') }
      form.reset()
      say('')
    }
    if (report) problem.showModal()
  }

  async function deliver(body) {
    let answer
    try { answer = await post('/desk/report', body) } catch {
      if (stopped) return
      say('Not stored yet: trying again')
      resend = setTimeout(() => deliver(body), 2000)
      return
    }
    fields.disabled = false
    if (answer.ok) { report = null; form.reset(); problem.close(); status('Reported'); return }
    say(`${capital(answer.body.message)}. ${answer.body.hint}`)
    if (!problem.open) problem.showModal()
  }

  form.onsubmit = event => {
    event.preventDefault()
    if (fields.disabled) return
    const body = { ...report, kind: form.elements.kind.value, note: form.elements.note.value }
    fields.disabled = true
    say('Sending')
    deliver(body)
  }
  for (const button of root.querySelectorAll('dialog .close')) button.onclick = () => button.closest('dialog').close()

  return {
    openGuidelines,
    openProblem,
    isOpen: () => guide.open || problem.open,
    onKey: event => { if (guide.open && event.key === 'g' && !event.repeat) guide.close() },
    stop: () => { stopped = true; clearTimeout(resend) },
  }
}
