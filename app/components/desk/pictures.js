// The two pictures: loading, zooming together, and the moment from which a verdict may count.
function pictures(root, onLoaded) {
  const images = ['left', 'right'].map(side => root.querySelector(`figure.${side} img`))
  let zoomed = false
  let current = ''
  let kept = []

  function zoom(on) {
    zoomed = on
    root.querySelector('.pair').classList.toggle('zoomed', on)
  }

  async function show(urls) {
    const wanted = urls.join()
    current = wanted
    zoom(false)
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
      const x = 100 * (event.clientX - box.left) / box.width
      const y = 100 * (event.clientY - box.top) / box.height
      for (const each of images) each.style.transformOrigin = `${x}% ${y}%`
    }
  })
  return { show, preload, zoom: () => zoom(!zoomed), clear: () => { current = ''; images.forEach(image => image.removeAttribute('src')) } }
}
