// Loaded between require.js and embed-amd.js: modules such as anywidget come from this folder, and a
// slow disk or a busy phone gets a minute instead of RequireJS's seven seconds.
window.requirejs.config({ waitSeconds: 60, baseUrl: new URL(".", document.currentScript.src).href });
