/** HDNet in ONNX Runtime Web: on the GPU by WebGPU, else on the processor. */

import { SIZE } from "./small.js";

const RUNTIME = new URL("node_modules/onnxruntime-web/dist/", import.meta.url);
const NETWORK = new URL("hdnet.onnx", import.meta.url);
const MODULES = { webgpu: "ort.webgpu.min.mjs", wasm: "ort.wasm.min.mjs" };
const PATIENCE = 20; // seconds that a GPU may take to get ready
const MOST_THREADS = 8; // the network is small: more would wait for each other

/**
 * Loads the network.
 *
 * `wanted` is "webgpu", "wasm" or null: WebGPU where there is a real GPU. Where
 * that fails, now or later, `note` is told why, and the processor takes over.
 *
 * Resolves to {name, run}: what runs it, and a function of what `seen` gives to
 * RGB bytes.
 */
export async function load(wanted, note) {
  const file = await download();
  const onProcessor = () => start("wasm", file);
  if (wanted === "wasm" || !(await hasGpu(wanted))) return onProcessor();
  const instead = (error) => {
    note(`WebGPU failed, so the processor does the work (${error.message}).`);
    return onProcessor();
  };
  let network;
  try {
    network = await inTime(start("webgpu", file));
  } catch (error) {
    return instead(error);
  }
  const { name } = network;
  return {
    name,
    run: (input) => network.run(input).catch(async (error) => {
      if (network.name !== name) throw error;
      network = await instead(error); // the GPU was lost
      return network.run(input);
    }),
  };
}

/** As `promise`, unless it takes longer than any GPU that is of use. */
function inTime(promise) {
  const late = new Promise((_, reject) => {
    const message = `not ready after ${PATIENCE} s`;
    setTimeout(() => reject(new Error(message)), 1000 * PATIENCE);
  });
  return Promise.race([promise, late]);
}

async function hasGpu(wanted) {
  const adapter = await navigator.gpu?.requestAdapter();
  if (wanted === "webgpu") return true; // what is missing then is told
  // A GPU that is only imitated is slower than the processor itself.
  return Boolean(adapter && !adapter.info?.isFallbackAdapter);
}

async function download() {
  const response = await fetch(NETWORK);
  if (!response.ok) {
    throw new Error(
      "The network is missing: make it with `hdnet export WEIGHTS " +
      "examples/web/hdnet.onnx --uint8`.");
  }
  return response.arrayBuffer();
}

async function start(kind, file) {
  const ort = await import(new URL(MODULES[kind], RUNTIME)).catch(() => {
    throw new Error(
      "ONNX Runtime is missing: run `npm install` in the page's folder.");
  });
  const threads = crossOriginIsolated
    ? Math.min(navigator.hardwareConcurrency, MOST_THREADS) : 1;
  ort.env.wasm.wasmPaths = RUNTIME.href;
  ort.env.wasm.numThreads = threads;
  const session = await ort.InferenceSession.create(file, {
    executionProviders: [kind],
    // Threads that spin for more work would hold back the page's other ones.
    extra: { session: { intra_op: { allow_spinning: "0" } } },
    logSeverityLevel: 3, // that some nodes stay on the CPU is as it should be
  }).catch((error) => {
    throw new Error(`hdnet.onnx cannot be read: ${error.message}`);
  });
  if (session.inputMetadata.some(({ type }) => type !== "uint8")) {
    throw new Error("hdnet.onnx takes floats: export it with --uint8.");
  }
  const tensor = (values, channels) =>
    new ort.Tensor("uint8", values, [1, SIZE, SIZE, channels]);
  const run = async ({ image, inside }) => {
    const outputs = await session.run({
      composite: tensor(new Uint8Array(image), 3),
      mask: tensor(inside.map((value) => 255 * value), 1),
    });
    return outputs.harmonized.data;
  };
  // The first run warms up, and shows whether this engine can do it at all.
  const inside = new Uint8Array(SIZE * SIZE).fill(1, 0, SIZE * SIZE / 2);
  await run({ image: new Uint8Array(3 * SIZE * SIZE), inside });
  const processor =
    threads > 1 ? `processor, ${threads} threads` : "processor, 1 thread";
  return { name: kind === "wasm" ? processor : "GPU", run };
}
