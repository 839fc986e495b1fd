// Prints the Khronos validator's report on a GLB file as JSON: node validate.mjs FILE
import { readFile } from "node:fs/promises";
import { validateBytes } from "gltf-validator";

const file = process.argv[2];
const report = await validateBytes(new Uint8Array(await readFile(file)), { uri: file, maxIssues: 200 });
process.stdout.write(JSON.stringify(report));
