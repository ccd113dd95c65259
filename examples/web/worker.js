/** The network, in a thread of its own so that the page does not freeze. */

import { SIZE, apply, fit, reduced } from "./guided.js";

const RUNTIME = new URL("node_modules/onnxruntime-web/dist/", import.meta.url);
const NETWORK = new URL("hdnet.onnx", import.meta.url);

const network = load();
network.then(
  () => postMessage({ ready: true }),
  (error) => postMessage({ error: error.message }),
);

onmessage = async ({ data: { photo, mask } }) => {
  try {
    const result = await harmonize(photo, mask);
    postMessage({ result }, [result.data.buffer]);
  } catch (error) {
    postMessage({ error: error.message });
  }
};

/** The network as a function of what `reduced` gives, to RGB bytes. */
async function load() {
  const ort = await import(new URL("ort.wasm.min.mjs", RUNTIME)).catch(() => {
    throw new Error(
      "ONNX Runtime is missing: run `npm install` in the page's folder.");
  });
  ort.env.wasm.wasmPaths = RUNTIME.href;
  ort.env.wasm.numThreads = 1; // more would need headers from the server
  const response = await fetch(NETWORK);
  if (!response.ok) {
    throw new Error(
      "The network is missing: make it with `hdnet export WEIGHTS " +
      "examples/web/hdnet.onnx --uint8`.");
  }
  const session = await ort.InferenceSession.create(
    await response.arrayBuffer(), { executionProviders: ["wasm"] },
  ).catch((error) => {
    throw new Error(`hdnet.onnx cannot be read: ${error.message}`);
  });
  if (session.inputMetadata.some(({ type }) => type !== "uint8")) {
    throw new Error("hdnet.onnx takes floats: export it with --uint8.");
  }
  return async (image, inside) => {
    const outputs = await session.run({
      composite: new ort.Tensor(
        "uint8", Uint8Array.from(image), [1, SIZE, SIZE, 3]),
      mask: new ort.Tensor(
        "uint8", inside.map((value) => 255 * value), [1, SIZE, SIZE, 1]),
    });
    return outputs.harmonized.data;
  };
}

async function harmonize(photo, mask) {
  if (!mask.some((value) => value > 127)) {
    throw new Error(
      "The mask covers nothing: paint what is to change, or give a mask " +
      "that is white there.");
  }
  const run = await network;
  const start = performance.now();
  const { image, inside } = reduced(photo, mask);
  const before = performance.now();
  const output = await run(image, inside);
  const after = performance.now();
  const data = apply(fit(image, output, inside), photo, mask);
  return {
    data,
    seconds: (performance.now() - start) / 1000,
    network: (after - before) / 1000,
  };
}
