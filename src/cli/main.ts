#!/usr/bin/env node
/** The process of the command `thalweg`. */
import { exitCodes } from "./failure.js";
import { runCommand } from "./program.js";

// Reading less than is written (| head) is no failure.
for (const stream of [process.stdout, process.stderr])
  stream.on("error", (error: NodeJS.ErrnoException) => {
    process.exit(error.code === "EPIPE" ? 0 : exitCodes.failure);
  });

await runCommand(process.argv.slice(2));
