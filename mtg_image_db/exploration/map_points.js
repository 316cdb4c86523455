// Draws the cards as points, with WebGL: 54,000 are one call.

const VERTEX = `
attribute vec2 place;
attribute vec4 look;
uniform vec2 middle, scale;
uniform float size;
varying vec4 colour;
void main() {
  gl_Position = vec4((place - middle) * scale, 0.0, 1.0);
  gl_PointSize = size * (look.a < 0.5 ? 0.8 : look.a > 0.9 ? 2.0 : 1.0);
  colour = look;
}`;
const FRAGMENT = `
precision mediump float;
varying vec4 colour;
void main() {
  float far = length(gl_PointCoord - 0.5) * 2.0;
  float there = colour.a * (1.0 - smoothstep(0.75, 1.0, far));
  gl_FragColor = vec4(colour.rgb * there, there);
}`;


/** The bytes [red, green, blue] of CSS colours. */
const rgb = colours => {
  const small = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const context = /** @type {CanvasRenderingContext2D} */ (small.getContext("2d", { willReadFrequently: true }));
  return colours.map(colour => {
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return context.getImageData(0, 0, 1, 1).data.slice(0, 3);
  });
};

/**
 * Draws the points of the cards. Throws an Error if the browser has no WebGL.
 * @param {HTMLCanvasElement} canvas @param {Cards} cards
 */
const painter = (canvas, cards) => {
  const gl = canvas.getContext("webgl", { alpha: false, antialias: false });
  if (!gl) throw new Error("This browser cannot draw the map: it has no WebGL. points.csv has the same cards.");
  const program = /** @type {WebGLProgram} */ (gl.createProgram());
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = /** @type {WebGLShader} */ (gl.createShader(Number(kind)));
    gl.shaderSource(shader, String(source));
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  gl.useProgram(program);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  const count = cards.x.length;
  const attribute = (name, size, type) => {
    const buffer = gl.createBuffer(), at = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, size, type, true, 0, 0);
    return values => {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    };
  };
  attribute("place", 2, gl.UNSIGNED_SHORT)(Uint16Array.from({ length: 2 * count }, (_, at) =>
    at % 2 ? cards.y[at >> 1] : cards.x[at >> 1]));
  const setLooks = attribute("look", 4, gl.UNSIGNED_BYTE);
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
  gl.getExtension("OES_element_index_uint");
  const [middle, scale, size] = ["middle", "scale", "size"].map(name => gl.getUniformLocation(program, name));

  return {
    /** Colours the cards. Dimmed ones are drawn first, so that no other is covered. What a search found is larger. */
    look(legend, isBright, isSearch) {
      const [red, green, blue] = rgb([getComputedStyle(document.body).backgroundColor])[0];
      gl.clearColor(red / 255, green / 255, blue / 255, 1);
      const colours = rgb(legend.categories.map(category => category.colour));
      const looks = new Uint8Array(4 * count), dimmed = [], bright = [];
      for (let row = 0; row < count; row++) {
        looks.set(colours[legend.of[row]], 4 * row);
        looks[4 * row + 3] = isBright(row) ? (isSearch ? 255 : 217) : 26;
        (isBright(row) ? bright : dimmed).push(row);
      }
      setLooks(looks);
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, Uint32Array.from([...dimmed, ...bright]), gl.STATIC_DRAW);
    },
    /** Draws what the view shows. */
    draw(view, pixels) {
      const { clientWidth: width, clientHeight: height } = canvas;
      const density = devicePixelRatio;
      if (canvas.width !== Math.round(width * density) || canvas.height !== Math.round(height * density)) {
        canvas.width = Math.round(width * density);
        canvas.height = Math.round(height * density);
      }
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clear(gl.COLOR_BUFFER_BIT);
      gl.uniform2f(middle, view.x, view.y);
      gl.uniform2f(scale, 2 * pixels / width, 2 * pixels / height);
      const room = Math.sqrt(width * height / count) / 2; // of a card, if all were spread evenly
      gl.uniform1f(size, density * Math.min(16, Math.max(2.5, Math.min(6, room) * Math.sqrt(view.zoom) ** 0.8)));
      gl.drawElements(gl.POINTS, count, gl.UNSIGNED_INT, 0);
    },
  };
};

