/** The command line. Commands are loaded when they are called: help is instant. */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { exitCodes, fail } from "./failure.js";
import type {
  AdviseFlags,
  CompareFlags,
  CostFlags,
  InfoFlags,
  ListFlags,
  MetaTrainFlags,
  NoiseFlags,
  ProbeFlags,
  RaceFlags,
  RecommendFlags,
  StudyFlags,
  SuiteFlags,
  TrainFlags,
  TuneFlags,
} from "./flags.js";
import {
  addClockOption,
  addEngineOptions,
  addFolderOptions,
  addLimitOptions,
  addModelOptions,
} from "./options.js";

const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
  description: string;
};

const program = new Command("thalweg")
  .description(manifest.description)
  .version(manifest.version, "-v, --version")
  .option("--debug", "show where an error came from")
  .configureHelp({
    // Beside long options descriptions are wrapped too.
    minWidthToWrap: 30,
    subcommandTerm: (command) => `${command.name()} ${command.usage().replace("[options]", "").trim()}`,
  })
  .showSuggestionAfterError()
  .showHelpAfterError("(--help lists the options)")
  .exitOverride()
  .addHelpText(
    "after",
    `
Examples:
  thalweg race                                 four optimizers, digits to 97 %
  thalweg race fashion-mlp -o adam -o sgd:learningRate=0.1 --seeds 5
  thalweg race table:file=houses.csv,target=price --target loss=0.1
  thalweg train digits-cnn -o adamw:weightDecay=0.1 --out runs/cnn
  thalweg train --resume runs/cnn --steps 4000
  thalweg suite --quick                        many problems, scored
  thalweg study condition --quick              iterations by condition number
  thalweg compare thalweg-runs/race            are the solutions different?
  thalweg probe digits-mlp --kind gaussNewton  eigenvalues, condition, noise
  thalweg advise config.json --task language-model --batch 8 --hardware h100
  thalweg costs 784-1000-500-10 --batch 256    memory, FLOPs, time of each
  thalweg optimizers adamw                     what it does, and every setting
  thalweg info                                 libraries, threads, speed here

Exit codes: 0 done, 1 failed (the message says why), 2 wrong command line,
130 interrupted.`,
  );

program.commandsGroup("Train:");
const race = program
  .command("race [problem]")
  .summary("train one problem with several optimizers, and rank them")
  .description(
    "Trains one problem with several optimizers on several seeds, to one target, and ranks them by the time to it. " +
      "A problem is a name with options: digits-mlp (default), digits-mlp:hidden=256-128, or a module of your own (thalweg list names all).",
  )
  .option("-o, --optimizer <name:settings...>", "repeat for each; default: sgd momentum adam adamw")
  .option("--seeds <count>", "seeds, counted from --seed (default: 3)")
  .option("--tensorboard", "write TensorBoard's event files too, into <folder>/tensorboard");
addLimitOptions(race);
addEngineOptions(race).action(async (problem: string | undefined, flags: RaceFlags) => {
  await (await import("./race.js")).race(problem, flags);
});

const train = program
  .command("train [problem]")
  .summary("train one problem with one optimizer")
  .description(
    "Trains one problem (default: digits-mlp; thalweg list names all) with one optimizer, recording and saving as it goes.",
  )
  .option("-o, --optimizer <name:settings>", "default: adam")
  .option("--checkpoint-every <steps>", "steps between checkpoints (default: every 10 seconds)")
  .option("--report <full|brief>", "what is printed at the end: everything that is known, or the result")
  .option("--tensorboard", "write TensorBoard's event files too, into <folder>/tensorboard");
addLimitOptions(train);
addEngineOptions(train).action(async (problem: string | undefined, flags: TrainFlags) => {
  await (await import("./train.js")).train(problem, flags);
});

const tune = program
  .command("tune [problem] [optimizer]")
  .summary("search the settings of an optimizer for a problem")
  .description(
    "Tries an optimizer (name or name:settings; default: adam) with settings from its typical ranges, equal budgets for " +
      "all, and ranks them by the time to the target. Settings that are given stay fixed.",
  )
  .option("--trials <count>", "points to try beside the given settings; 0 for none (default: 20)")
  .option(
    "--over <ranges>",
    "what to search: learningRate=0.001..0.1,damping (default: what matters, typical ranges)",
  )
  .option("--seeds <count>", "runs of each trial (default: 1)")
  .option("--search-seed <number>", "of the points (default: 0)")
  .option("--no-early-stop", "run hopeless trials to their end too")
  .option("--sensitivity", "then move each setting through its range, the others at the best");
addLimitOptions(tune);
addEngineOptions(tune).action(
  async (problem: string | undefined, optimizer: string | undefined, flags: TuneFlags) => {
    await (await import("./tune.js")).tune(problem, optimizer, flags);
  },
);

const suite = program
  .command("suite")
  .summary("race the optimizers over many problems, tuned alike, and score them")
  .description(
    "Tunes every optimizer on every problem by the same number of trials, measures the seconds of training to targets " +
      "that were set beforehand, and scores them as AlgoPerf does.",
  )
  .option("--quick", "few problems, 3 trials, within 20 minutes (default)")
  .option("--full", "all problems and optimizers, 3 studies of 5 trials: many hours without --budget")
  .option("--only <names...>", "these problems (of the table, or any that has a target), these optimizers")
  .option("--trials <count>", "settings that a study tries, the problem's own first (default: 3, full: 5)")
  .option("--studies <count>", "repetitions with other seeds and settings (default: 1, full: 3)")
  .option("--budget <minutes>", "shorten all runs alike to fit (default: 14, full: none)")
  .option("--seed <number>", "of initial values, batches, settings and intervals (default: 0)");
addFolderOptions(addClockOption(suite));
addEngineOptions(suite).action(async (flags: SuiteFlags) => {
  await (await import("./suite.js")).suite(flags);
});

const study = program
  .command("study [name]")
  .summary("answer one question about optimizers by measuring: condition, batch, staleness, ...")
  .description(
    "Measures the points of a study, draws them, and says what they say beside what is expected: condition number, size " +
      "of batch, staleness of curvature, cost of inversion, damping, switching from first to second order. Without a name, " +
      "lists the studies.",
  )
  .option("--quick", "a small grid, within a minute on one core (default: within ten)")
  .option("--seed <number>", "of initial values and batches (default: 0)");
addFolderOptions(addClockOption(study));
addEngineOptions(study).action(async (name: string | undefined, flags: StudyFlags) => {
  await (await import("./study.js")).study(name, flags);
});

program.commandsGroup("Measure:");
const probe = program
  .command("probe [problem]")
  .summary("measure the curvature and the gradient noise of a problem")
  .description(
    "Measures the loss surface of a problem at its initial parameters, or where a run has come to: eigenvalues, " +
      "their distribution, condition, trace, by layer too, and the gradient-noise scale.",
  )
  .option("--run <folder>", "at the last checkpoint of this run")
  .option("--kind <kind>", "hessian (default), gaussNewton, fisher, sampledFisher, empiricalFisher")
  .option("--seed <number>", "of the initial values, batches and estimates (default: 0)")
  .option("--batch <size>", "examples in a batch (default: 256, or all where they are fewer)")
  .option("--batches <count>", "batches whose mean is measured, at least 2 (default: 4)")
  .option("--top <count>", "largest eigenvalues to show, of the whole and of every layer (default: 10)")
  .option("--out <file>", "writes a page too: spectrum, eigenvalues, layers");
addEngineOptions(probe).action(async (problem: string | undefined, flags: ProbeFlags) => {
  await (await import("./probe.js")).probe(problem, flags);
});

const compare = program
  .command("compare [folders...]")
  .summary("compare the solutions that races and runs came to")
  .description(
    "Compares the last parameters of runs of one problem, by folders of races and of runs: training and test loss, " +
      "sharpness (eigenvalues, trace, the rise within a ball), spectra, and the loss along the lines between them.",
  )
  .option("--seed <number>", "of batches and estimates (default: 0)")
  .option("--batch <size>", "examples in a batch (default: the problem's)")
  .option("--batches <count>", "batches whose mean loss has the curvature (default: 1,024 examples)")
  .option("--top <count>", "largest eigenvalues of each (default: 5)")
  .option("--rho <radius>", "of the ball of SAM's sharpness (default: 0.05)")
  .option("--adaptive-rho <radius>", "of the ball of the adaptive sharpness (default: 0.5)")
  .option("--ascent <steps>", "steps of ascent in a ball; the first is SAM's (default: 10)")
  .option("--points <count>", "of each line, its ends among them (default: 21)");
addFolderOptions(compare);
addEngineOptions(compare).action(async (folders: readonly string[], flags: CompareFlags) => {
  await (await import("./compare.js")).compare(folders, flags);
});

const noise = program
  .command("noise [problem]")
  .summary("measure how noisy gradient and curvature are, by size of batch")
  .description(
    "Measures the noise of the gradient, of the Hessian's diagonal and of Kronecker factors by size of batch, at the " +
      "initial parameters or where a run has come to; then trains on, to see how fast the factors move. Says which " +
      "batch each method needs, and which decay its averages should have.",
  )
  .option("--run <folder>", "at the last checkpoint of this run")
  .option("--seed <number>", "of the initial values, batches and estimates (default: 0)")
  .option("--smallest <size>", "examples in the smallest batch (default: 8)")
  .option("--batches <count>", "how many of them: 4, 8, 16, ... (default: 64)")
  .option("--error <fraction>", "wanted error of a factor beside its largest eigenvalue (default: 0.5)")
  .option("--decay <fraction>", "decay of the factors' average (default: 0.95)")
  .option("--steps <count>", "updates to watch the factors move, 0 for none (default: 160)")
  .option("--batch <size>", "examples in an update of that training (default: the problem's)")
  .option("--refresh <steps>", "updates between inversions of the factors (default: 100)")
  .option("-o, --optimizer <name:settings>", "of that training (default: adam)");
addEngineOptions(noise).action(async (problem: string | undefined, flags: NoiseFlags) => {
  await (await import("./noise.js")).noise(problem, flags);
});

program.commandsGroup("Decide:");
const advise = program
  .command("advise [model]")
  .summary("say which optimizer a model needs, and why")
  .description(
    "Ranks the optimizers for a model in a situation by predicted time to a target: rules with their sources, and " +
      "costs that are counted. Without a model, in a terminal, it asks.",
  );
addModelOptions(advise)
  .option(
    "--task <task>",
    "language-model, image-classification, differential-equation, fine-tuning, reinforcement-learning, adversarial, recurrent, regression, other (default: what the model tells)",
  )
  .option("--phase <phase>", "of the training: early (default), late")
  .option("--budget <amount>", "limited, moderate (default), unlimited")
  .option("--expertise <level>", "of the people who train: low, medium (default), high")
  .option("--full-batch", "every step sees all examples")
  .option("--edge", "a device of little memory and power")
  .option("--condition <number>", "measured condition number (thalweg probe)")
  .option("--noise <examples>", "measured noise scale of the gradient (thalweg noise)")
  .option("--data-seconds <time>", "until the examples of a step are there")
  .option("--report <file>", "write a page with charts");
addEngineOptions(advise).action(async (model: string | undefined, flags: AdviseFlags) => {
  await (await import("./advise.js")).advise(model, flags);
});

program
  .command("recommend")
  .summary("the published decision procedure, word for word")
  .description("Answers by the decision procedure of the text that Thalweg comes from; advise goes further.")
  .option("--parameters <count>", "of the model; needed")
  .option("--batch <size>", "examples in a batch; needed")
  .option(
    "--problem <type>",
    "vision, sequence_modeling, language_modeling, reinforcement_learning, scientific_computing, pde_solving, other (default)",
  )
  .option("--phase <phase>", "early_training, late_training (default), fine_tuning, rnn")
  .option("--budget <budget>", "limited (default), moderate, unlimited")
  .option("--expertise <expertise>", "low, medium (default), high")
  .option("--json", "as JSON")
  .action(async (flags: RecommendFlags) => {
    await (await import("./recommend.js")).recommend(flags);
  });

const costs = program
  .command("costs <model>")
  .summary("count what every optimizer would cost on a model")
  .description(
    "Counts memory, FLOPs, time and communication of a step with every optimizer, before anything is trained. " +
      "A model is a list of widths (784-1000-10) or layers (28x28x1-conv3x3:16-pool2-10: height, width, channels of an " +
      "image, then convolutions and pools), a problem (digits-cnn), or a file: config.json of Hugging Face, " +
      "safetensors (or its index), ONNX, model.json of TensorFlow.js, or what Keras's model.to_json() gives (2 or 3; " +
      "Sequential or functional, of Keras's own layers). Weights are never read.",
  );
addModelOptions(costs).option(
  "-o, --optimizer <name:settings...>",
  "only these (default: all, with their own defaults)",
);
addEngineOptions(costs).action(async (model: string, flags: CostFlags) => {
  await (await import("./costs.js")).costs(model, flags);
});

program.commandsGroup("The learned optimizer:");
const metaTrain = program
  .command("meta-train")
  .summary("train the learned optimizer, or compare its weights with Adam")
  .description(
    "Trains the network of the learned optimizer by persistent evolution strategies on a family of small problems, " +
      "recording and saving as it goes. With --compare: steps to targets on problems that it has not seen, beside Adam " +
      "tuned for each.",
  )
  .option("--seed <number>", "of everything random (default: 0; of --compare: 1)")
  .option("--steps <count>", "updates of the network's weights (default: 6000)")
  .option("--pairs <count>", "pairs of trainings under opposite perturbations (default: 32)")
  .option("--sigma <size>", "standard deviation of the perturbations (default: 0.02)")
  .option("--learning-rate <rate>", "of Adam on the weights, at first (default: 0.003)")
  .option("--validate-every <updates>", "updates between validations and checkpoints (default: 100)")
  .option("--compare [weights]", "a learned.safetensors (default: the weights of this package)")
  .option("--problems <count>", "problems of the comparison (default: 25)")
  .option(
    "--budgets <steps>",
    "the comparison's targets: Adam's best within so many steps (default: 50,100,200,400)",
  );
addFolderOptions(metaTrain);
addEngineOptions(metaTrain).action(async (flags: MetaTrainFlags) => {
  await (await import("./meta-train.js")).metaTrainCommand(flags);
});

program.commandsGroup("Look up:").helpCommand("help [command]", "the options of a command");
program
  .command("list [name]")
  .summary("problems and optimizers, or the options of one")
  .description("Lists problems and optimizers, or the options of one.")
  .option("--json", "as JSON")
  .action(async (name: string | undefined, flags: ListFlags) => {
    await (await import("./list.js")).list(name, flags);
  });

program
  .command("optimizers [name]")
  .summary("the catalogue of optimizers, or all about one")
  .description(
    "Lists the optimizers by family: what each keeps, asks and does. With a name: where it was published, which " +
      "arrays it treats how, its costs, and every setting with its default and typical values.",
  )
  .option("--json", "as JSON")
  .action(async (name: string | undefined, flags: ListFlags) => {
    await (await import("./optimizers.js")).showOptimizers(name, flags);
  });

program
  .command("info")
  .summary("this machine: versions, BLAS, threads, measured speed")
  .description("Shows versions, the BLAS that was found, threads and the measured speed of products.")
  .option("--json", "as JSON")
  .action(async (flags: InfoFlags) => {
    await (await import("./info.js")).info(flags);
  });

/** Does what the arguments say, and sets the exit code of the process. */
export async function runCommand(args: readonly string[]): Promise<void> {
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    // Commander has printed its own message; help and version are no failures.
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : exitCodes.usage;
    else fail(error, program.opts<{ debug?: boolean }>().debug ?? false);
  }
}
