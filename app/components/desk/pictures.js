// The two pictures: loading, zooming together, and the moment from which a verdict may count.
function pictures(root, onLoaded) {
  const images = ['left', 'right'].map(side => root.querySelector(`figure.${side} img`))
  let zoomed = false
  let current = ''
  let kept = []
  let spot = [50, 50]       // per cent of the picture that stays where it is when it grows

  function lookAt(x, y) {
    spot = [x, y].map(at => Math.max(0, Math.min(100, at)))
    for (const image of images) image.style.transformOrigin = `${spot[0]}% ${spot[1]}%`
  }

  function zoom(on) {
    zoomed = on
    root.querySelector('.pair').classList.toggle('zoomed', on)
  }

  async function show(urls) {
    const wanted = urls.join()
    current = wanted
    zoom(false)
    lookAt(50, 50)
    images.forEach((image, i) => { image.src = urls[i] })
    const loaded = await Promise.allSettled(images.map(image => image.decode()))
    if (current !== wanted) return
    const broken = loaded.map(result => result.status === 'rejected')
    images.forEach((image, i) => image.parentElement.classList.toggle('broken', broken[i]))
    // After the frame with both pictures is painted: nobody can have seen them before.
    requestAnimationFrame(() => setTimeout(() => { if (current === wanted) onLoaded(broken.includes(true)) }))
  }

  function preload(urls) {
    kept = urls.map(url => { const image = new Image(); image.src = url; return image })
  }

  images.forEach(image => {
    image.onclick = () => zoom(!zoomed)
    image.onpointermove = event => {
      const box = image.parentElement.getBoundingClientRect()
      lookAt(100 * (event.clientX - box.left) / box.width, 100 * (event.clientY - box.top) / box.height)
    }
  })

  // What an arrow key does while the pictures are large; undefined otherwise, or for another key.
  function lookAround(name) {
    const step = { ArrowLeft: [-20, 0], ArrowRight: [20, 0], ArrowUp: [0, -20], ArrowDown: [0, 20] }[name]
    if (zoomed && step) return () => lookAt(spot[0] + step[0], spot[1] + step[1])
    if (zoomed && name === 'Escape') return () => zoom(false)
  }

  return { show, preload, lookAround, zoom: () => zoom(!zoomed), clear: () => { current = ''; images.forEach(image => image.removeAttribute('src')) } }
}
