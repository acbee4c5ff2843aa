// Building elements; text always goes through textContent, so data never becomes HTML.
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties)
  made.append(...children.filter(child => child !== null))
  return made
}

function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  made.append(...children)
  return made
}

const capital = word => word[0].toUpperCase() + word.slice(1)
const key = name => element('kbd', { textContent: name })
