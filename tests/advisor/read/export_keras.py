"""A small model as Keras 3 writes it (to_json), and how many numbers Keras trains in it. Written with Keras 3.15.1 on JAX:

    KERAS_BACKEND=jax python3 tests/advisor/read/export_keras.py tests/advisor/read/exported/keras3.json
"""
import json
import math
import sys

import keras
from keras import layers

tokens = keras.Input((16, 8))
block = keras.Model(tokens, layers.Dense(8, name="down")(layers.Dense(32, activation="gelu", name="up")(tokens)), name="block")

image = keras.Input((8, 8, 3), name="image")
x = layers.Conv2D(8, 3, strides=2, padding="same", groups=1, name="patches")(image)
x = layers.BatchNormalization(name="norm")(layers.Conv2D(8, 1, groups=4, name="grouped")(x))
x = layers.Reshape((-1, 8), name="tokens")(x)
x = x + layers.MultiHeadAttention(2, 4, value_dim=3, name="attention")(x, x)
x = layers.LayerNormalization(name="norm1")(x + block(x))
x = layers.LayerNormalization(name="norm2")(x + block(x))
x = layers.Bidirectional(layers.GRU(5), name="both")(x)
model = keras.Model(image, layers.Dense(10, name="head")(x))

with open(sys.argv[1], "w") as file:
    json.dump(json.loads(model.to_json()), file, indent=2)
    file.write("\n")
print(sum(math.prod(weight.shape) for weight in model.trainable_weights))
