/** The JSON of Keras models, by hand. */
export const layer = (
  kind: string,
  config: Readonly<Record<string, unknown>>,
  calls?: readonly unknown[],
) => ({
  class_name: kind,
  name: config.name,
  config,
  ...(calls && { inbound_nodes: calls }),
});

export const sequential = (...layers: readonly object[]) => ({
  class_name: "Sequential",
  config: { layers },
});

export const functional = (
  layers: readonly object[],
  inputs: readonly unknown[],
  outputs: readonly unknown[],
  name = "model",
) => ({
  class_name: "Functional",
  config: { name, layers, input_layers: inputs, output_layers: outputs },
});

/** A tensor as Keras 3 writes it, without its shape. */
export const kerasTensor = (name: string) => ({
  class_name: "__keras_tensor__",
  config: { keras_history: [name, 0, 0] },
});
