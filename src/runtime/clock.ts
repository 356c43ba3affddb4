/** What times are measured by. */

/** Seconds that do not run backwards; only differences mean something. */
export type Clock = () => number;

/**
 * "wall": the time that passes. "cpu": the time that processors worked for this process, all of its threads together: with
 * one thread what the work takes on a machine of its own, however much else runs beside it (shared caches and memory
 * apart).
 */
export const clocks = {
  wall: () => performance.now() / 1000,
  cpu() {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  },
} satisfies Record<string, Clock>;
export type ClockName = keyof typeof clocks;
