/**
 * The weights that the package ships, φ [221] as 32-bit floats in base64: those of assets/learned.safetensors, whose
 * metadata name the command that made them. Written by scripts/embed-learned.ts; not to be edited.
 *
 *     thalweg meta-train --seed 0 --steps 1700 --pairs 32 --sigma 0.02 --learning-rate 0.003 --threads 1     (best after 1700 updates)
 */
const base64 = [
  "4oY6PlI6Mb7wqL897UfnvS9NQTx2wW29xxxjPfwRXj6WaaA9/fwuvkgEdr5pTVE+d0w0PMregjqQChO8M/CPvfH6Uj1rPaC94pSY",
  "vlA49T1rfNq9eXS0vWkiZL1SgqE9FH0TPmRMabszf2y+jDJdvuyE7Dyvt9u9GLRGPdvlob1jdq+86YSCPSgvir3Iq8m9gCImO6mO",
  "5DxpOz2+mvIKvofNHT6zgdS8rxiCPChsmTwVMPk8basHPgTd2D0K6v69OZgdPbR2AD3+UNW8UMPrPcmGkTy6zRu9QD+6OwxdTD7R",
  "kx2+P14ovL1pQb48wK29sXdcvfM2vLzmge69rtibvV5D0T22peE8sqQzPg+BkD5bDI49O0kyPREIkr7IozA+yB81vkrECzu9OzY9",
  "OCU0Pt3/bT9H+nu/FigOvub5Rr01L8o9GL1DvBKgoL6C3Iy+ezuEPaKB3L33Yj89WNjIPZ4jMz3aW06+W3KSvnldnD6zh/+7ogGa",
  "vSOYpT17hQ2+7UsxPmydK7xXZoW++MclPUhTmb0Kw7k9N/ssPU7hA7+rMei8cb5EPI8DLT2nXIi+T3c/PNvhf71dY8u8TeLlvR//",
  "gz1jTfs9YgUfPSh1qr4zD4I9sxv9uzLwNb7nahu+XgbdvT8dCL33a2q+w6tuvir2Zjzzce08WjF0vgCjnr6HYMy93Wz3u9Uz9j2b",
  "/ee9PETfPdhh1T1xp7C+/CuXvYeDmLyy6kg+muK2vkiGsz72kjo95u6BvWlzQb5/oJs9gEKEPG15Ub2uzra9kpMvvYEtDD2QO5K9",
  "bpEgvXuapD11pgG9L8A6vqfVhbzN7hU+30p5vkW1u7yKQys9sR+lvG8HCju3muA7RHHwPXmTSD7f3Nc9qxt8vUoT5707gxA+bTqC",
  "PGPfxzzfoaG9/peKvsxjOj2YUXY9oexgPEWYijzxZ5U9jY3rvDW9FD+1q1c9nB6zvP/WeL0R8cq9qv+wPUi2dj+j6pS7h60dvmEA",
  "qT2c/RW9CcNtP9I5tDvhfX89hqHjvFPmLL0wlx0+CKihPpT69ju7sCM+kaoKP90Il7+80yY+ToPEukyF57sqwC2+PhN9P0aXkT3x",
  "mXK/OJFnPBgGSr0aVIa+9zVRu5+j8L0K4hc+P+0LvrnbEb3wEwo9RdKPvFFmdb06KVI9ZlgevaJOzb0=",
].join("");

/** φ, a new array. */
export const shippedWeights = (): Float32Array =>
  new Float32Array(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)).buffer);
