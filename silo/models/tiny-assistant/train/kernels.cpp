/* Fused float32 kernels for training a small Llama on a CPU.
 *
 * Matrix products stay with the BLAS behind PyTorch; what is here is everything between them that
 * an eager framework would spend most of its time on: root-mean-square normalisation, the gated
 * activation, rotary causal attention over packed documents, and the cross entropy. Each forward
 * function has a backward twin; kernels.py wraps the pairs as autograd functions.
 *
 * Vectors are 16 floats wide through the compiler's vector extension, so the file builds for any
 * target; it is quick where 512-bit registers exist. No result depends on thread timing.
 */
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

enum { LANES = 16, HEAD_DIM = 16, HEADS = 8, KV_HEADS = 4, GROUP = HEADS / KV_HEADS };
enum { Q_WIDTH = HEADS * HEAD_DIM, KV_WIDTH = KV_HEADS * HEAD_DIM, QKV_WIDTH = Q_WIDTH + 2 * KV_WIDTH };

typedef float vec __attribute__((vector_size(64), aligned(64)));
typedef float vec_unaligned __attribute__((vector_size(64), aligned(4)));
typedef int32_t ivec __attribute__((vector_size(64)));

#define UNROLL _Pragma("GCC unroll 16")
#define ROWS_PER_CHUNK 256

static inline vec splat(float value) { return value - (vec){0}; }

static inline float sum_lanes(vec value) {
    float total = 0;
    for (int lane = 0; lane < LANES; lane++) total += value[lane];
    return total;
}

static inline vec max_vec(vec left, vec right) { return left > right ? left : right; }

/* exp(x) for x <= 0 or moderately positive; inputs below -87 flush to about 1e-38. */
static inline vec exp_vec(vec x) {
    x = max_vec(x, splat(-87.0f));
    const vec magic = splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to the nearest integer */
    vec shifted = x * 1.44269504f + magic;
    vec whole = shifted - magic;
    vec rest = x - whole * 0.693359375f;
    rest = rest + whole * 2.12194440e-4f;
    vec poly = splat(1.9875691500e-4f);
    poly = poly * rest + 1.3981999507e-3f;
    poly = poly * rest + 8.3334519073e-3f;
    poly = poly * rest + 4.1665795894e-2f;
    poly = poly * rest + 1.6666665459e-1f;
    poly = poly * rest + 5.0000001201e-1f;
    poly = poly * rest * rest + rest + 1.0f;
    ivec exponent = ((ivec)shifted - (ivec)magic + 127) << 23;
    return poly * (vec)exponent;
}

/* ---- root-mean-square normalisation ------------------------------------------------------- */

extern "C" void rms_norm_forward(const float *input, const float *weight, float *output, float *inverse_rms,
                      int64_t rows, int64_t width, float epsilon) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const vec_unaligned *x = (const vec_unaligned *)(input + row * width);
        const vec_unaligned *w = (const vec_unaligned *)weight;
        vec_unaligned *y = (vec_unaligned *)(output + row * width);
        vec squares = {0};
        for (int64_t i = 0; i < width / LANES; i++) squares += x[i] * x[i];
        float inverse = 1.0f / sqrtf(sum_lanes(squares) / width + epsilon);
        inverse_rms[row] = inverse;
        for (int64_t i = 0; i < width / LANES; i++) y[i] = x[i] * inverse * w[i];
    }
}

/* weight_partials holds one row of `width` floats for each chunk of ROWS_PER_CHUNK rows. */
extern "C" void rms_norm_backward(const float *input, const float *weight, const float *inverse_rms,
                       const float *grad_output, float *grad_input, float *weight_partials,
                       int64_t rows, int64_t width) {
    int64_t chunks = (rows + ROWS_PER_CHUNK - 1) / ROWS_PER_CHUNK;
#pragma omp parallel for schedule(static)
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        vec_unaligned *partial = (vec_unaligned *)(weight_partials + chunk * width);
        memset(partial, 0, width * sizeof(float));
        int64_t end = (chunk + 1) * ROWS_PER_CHUNK < rows ? (chunk + 1) * ROWS_PER_CHUNK : rows;
        for (int64_t row = chunk * ROWS_PER_CHUNK; row < end; row++) {
            const vec_unaligned *x = (const vec_unaligned *)(input + row * width);
            const vec_unaligned *g = (const vec_unaligned *)(grad_output + row * width);
            const vec_unaligned *w = (const vec_unaligned *)weight;
            vec_unaligned *gx = (vec_unaligned *)(grad_input + row * width);
            float inverse = inverse_rms[row];
            vec dot = {0};
            for (int64_t i = 0; i < width / LANES; i++) dot += g[i] * w[i] * x[i];
            float factor = sum_lanes(dot) * inverse * inverse * inverse / width;
            for (int64_t i = 0; i < width / LANES; i++) {
                partial[i] += g[i] * x[i] * inverse;
                gx[i] = g[i] * w[i] * inverse - x[i] * factor;
            }
        }
    }
}

/* ---- gated activation: silu(gate) * up, with gate and up side by side in one row ----------- */

extern "C" void swiglu_forward(const float *gate_up, float *output, int64_t rows, int64_t width) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const vec_unaligned *gate = (const vec_unaligned *)(gate_up + row * 2 * width);
        const vec_unaligned *up = (const vec_unaligned *)(gate_up + row * 2 * width + width);
        vec_unaligned *y = (vec_unaligned *)(output + row * width);
        for (int64_t i = 0; i < width / LANES; i++) y[i] = gate[i] / (1.0f + exp_vec(-gate[i])) * up[i];
    }
}

extern "C" void swiglu_backward(const float *gate_up, const float *grad_output, float *grad_gate_up,
                     int64_t rows, int64_t width) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const vec_unaligned *gate = (const vec_unaligned *)(gate_up + row * 2 * width);
        const vec_unaligned *up = (const vec_unaligned *)(gate_up + row * 2 * width + width);
        const vec_unaligned *g = (const vec_unaligned *)(grad_output + row * width);
        vec_unaligned *grad_gate = (vec_unaligned *)(grad_gate_up + row * 2 * width);
        vec_unaligned *grad_up = (vec_unaligned *)(grad_gate_up + row * 2 * width + width);
        for (int64_t i = 0; i < width / LANES; i++) {
            vec sigmoid = 1.0f / (1.0f + exp_vec(-gate[i]));
            grad_up[i] = g[i] * gate[i] * sigmoid;
            grad_gate[i] = g[i] * up[i] * sigmoid * (1.0f + gate[i] * (1.0f - sigmoid));
        }
    }
}

/* ---- cross entropy: losses per row; logits are overwritten by their gradients -------------- */

extern "C" void cross_entropy(float *logits, const int64_t *targets, const float *weights, float *losses,
                   int64_t rows, int64_t classes) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        float *start = logits + row * classes;
        vec_unaligned *x = (vec_unaligned *)start;
        vec highest = x[0];
        for (int64_t i = 1; i < classes / LANES; i++) highest = max_vec(highest, x[i]);
        float top = highest[0];
        for (int lane = 1; lane < LANES; lane++) top = fmaxf(top, highest[lane]);
        float target_logit = start[targets[row]];
        vec total = {0};
        for (int64_t i = 0; i < classes / LANES; i++) {
            x[i] = exp_vec(x[i] - top);
            total += x[i];
        }
        float sum = sum_lanes(total), scale = weights[row] / sum;
        for (int64_t i = 0; i < classes / LANES; i++) x[i] *= scale;
        start[targets[row]] -= weights[row];
        losses[row] = (logf(sum) + top - target_logit) * weights[row];
    }
}

/* ---- rotary causal attention over packed documents ------------------------------------------
 *
 * qkv rows hold the queries of all heads, then keys, then values. Documents are the row ranges
 * [offsets[d], offsets[d + 1]); each attends within itself. cosine and sine hold HEAD_DIM / 2
 * floats for each position within a document.
 *
 * "Lanes" are 16 consecutive positions: a lane block stores [HEAD_DIM][LANES] floats, so one
 * vector holds one channel of 16 positions.
 */

struct Scratch {
    vec *q_lanes, *k_lanes, *v_lanes, *do_lanes; /* [blocks][HEAD_DIM] */
    float *q, *k, *v, *dout;                     /* [positions][HEAD_DIM] */
    vec *first, *second;                         /* [positions] score and gradient strips */
    float *lse, *delta;                          /* [positions] */
    float *dk, *dv;                              /* [positions][HEAD_DIM] */
};

static Scratch scratch_new(int64_t longest) {
    size_t positions = (longest + LANES - 1) / LANES * LANES;
    size_t matrix = positions * HEAD_DIM * sizeof(float);
    size_t bytes = 10 * matrix + 2 * positions * sizeof(vec) + 2 * positions * sizeof(float) + 4096;
    char *memory = (char *)aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    Scratch s;
    s.q_lanes = (vec *)memory, memory += matrix;
    s.k_lanes = (vec *)memory, memory += matrix;
    s.v_lanes = (vec *)memory, memory += matrix;
    s.do_lanes = (vec *)memory, memory += matrix;
    s.q = (float *)memory, memory += matrix;
    s.k = (float *)memory, memory += matrix;
    s.v = (float *)memory, memory += matrix;
    s.dout = (float *)memory, memory += matrix;
    s.dk = (float *)memory, memory += matrix;
    s.dv = (float *)memory, memory += matrix;
    s.first = (vec *)memory, memory += positions * sizeof(vec);
    s.second = (vec *)memory, memory += positions * sizeof(vec);
    s.lse = (float *)memory, memory += positions * sizeof(float);
    s.delta = (float *)memory;
    return s;
}

/* Copies one head's channels, rotated by its position when tables are given; zero-pads the last block. */
static void load_head(const float *source, int64_t stride, int64_t length, const float *cosine,
                      const float *sine, float scale, float *rows, vec *lanes) {
    int64_t padded = (length + LANES - 1) / LANES * LANES;
    for (int64_t position = 0; position < padded; position++) {
        float *row = rows + position * HEAD_DIM;
        if (position >= length) {
            memset(row, 0, HEAD_DIM * sizeof(float));
        } else {
            const float *x = source + position * stride;
            for (int i = 0; i < HEAD_DIM / 2; i++) {
                float c = cosine ? cosine[position * (HEAD_DIM / 2) + i] : 1.0f;
                float s = sine ? sine[position * (HEAD_DIM / 2) + i] : 0.0f;
                float low = x[i], high = x[i + HEAD_DIM / 2];
                row[i] = (low * c - high * s) * scale;
                row[i + HEAD_DIM / 2] = (high * c + low * s) * scale;
            }
        }
    }
    if (!lanes) return;
    for (int64_t position = 0; position < padded; position++)
        for (int i = 0; i < HEAD_DIM; i++)
            ((float *)&lanes[position / LANES * HEAD_DIM + i])[position % LANES] = rows[position * HEAD_DIM + i];
}

/* Writes one position's gradient, rotated back, to its place in grad_qkv. */
static void store_rotated_back(const float *row, float *target, const float *cosine, const float *sine) {
    for (int i = 0; i < HEAD_DIM / 2; i++) {
        float low = row[i], high = row[i + HEAD_DIM / 2];
        target[i] = low * cosine[i] + high * sine[i];
        target[i + HEAD_DIM / 2] = high * cosine[i] - low * sine[i];
    }
}

static inline vec dot_lanes(const vec *lanes, const float *row) {
    vec even = {0}, odd = {0};
    UNROLL for (int i = 0; i < HEAD_DIM; i += 2) {
        even += lanes[i] * row[i];
        odd += lanes[i + 1] * row[i + 1];
    }
    return even + odd;
}

static const ivec LANE_INDEX = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* Keeps `value` in the lanes for which lane >= limit, or (flip) lane <= limit. */
static inline vec keep_from(vec value, int64_t limit, float other) {
    return LANE_INDEX >= (int32_t)limit ? value : splat(other);
}
static inline vec keep_until(vec value, int64_t limit, float other) {
    return LANE_INDEX <= (int32_t)limit ? value : splat(other);
}

extern "C" void attention_forward(const float *qkv, float *output, float *lse, const int64_t *offsets,
                       int64_t documents, int64_t longest, const float *cosine, const float *sine) {
    const float scale = 1.0f / sqrtf(HEAD_DIM);
#pragma omp parallel
    {
        Scratch s = scratch_new(longest);
#pragma omp for schedule(dynamic, 1)
        for (int64_t task = 0; task < documents * KV_HEADS; task++) {
            int64_t start = offsets[task / KV_HEADS], length = offsets[task / KV_HEADS + 1] - start;
            int64_t kv_head = task % KV_HEADS;
            const float *rows = qkv + start * QKV_WIDTH;
            load_head(rows + Q_WIDTH + kv_head * HEAD_DIM, QKV_WIDTH, length, cosine, sine, 1, s.k, NULL);
            load_head(rows + Q_WIDTH + KV_WIDTH + kv_head * HEAD_DIM, QKV_WIDTH, length, NULL, NULL, 1, s.v, NULL);
            for (int64_t head = kv_head * GROUP; head < (kv_head + 1) * GROUP; head++) {
                load_head(rows + head * HEAD_DIM, QKV_WIDTH, length, cosine, sine, scale, s.q, s.q_lanes);
                for (int64_t block = 0; block * LANES < length; block++) {
                    int64_t base = block * LANES, end = base + LANES < length ? base + LANES : length;
                    vec q[HEAD_DIM], mixed[HEAD_DIM], highest = splat(-1e30f), total = {0};
                    UNROLL for (int i = 0; i < HEAD_DIM; i++) q[i] = s.q_lanes[block * HEAD_DIM + i];
                    for (int64_t key = 0; key < end; key++) {
                        vec score = dot_lanes(q, s.k + key * HEAD_DIM);
                        if (key > base) score = keep_from(score, key - base, -1e30f);
                        s.first[key] = score;
                        highest = max_vec(highest, score);
                    }
                    UNROLL for (int i = 0; i < HEAD_DIM; i++) mixed[i] = splat(0);
                    for (int64_t key = 0; key < end; key++) {
                        vec p = exp_vec(s.first[key] - highest);
                        if (key > base) p = keep_from(p, key - base, 0);
                        const float *v = s.v + key * HEAD_DIM;
                        total += p;
                        UNROLL for (int i = 0; i < HEAD_DIM; i++) mixed[i] += p * v[i];
                    }
                    vec inverse = 1.0f / total;
                    for (int64_t lane = 0; lane < end - base; lane++) {
                        float *target = output + (start + base + lane) * Q_WIDTH + head * HEAD_DIM;
                        for (int i = 0; i < HEAD_DIM; i++) target[i] = mixed[i][lane] * inverse[lane];
                        lse[(start + base + lane) * HEADS + head] = highest[lane] + logf(total[lane]);
                    }
                }
            }
        }
        free(s.q_lanes);
    }
}

extern "C" void attention_backward(const float *qkv, const float *output, const float *lse, const float *grad_output,
                        float *grad_qkv, const int64_t *offsets, int64_t documents, int64_t longest,
                        const float *cosine, const float *sine) {
    const float scale = 1.0f / sqrtf(HEAD_DIM);
#pragma omp parallel
    {
        Scratch s = scratch_new(longest);
#pragma omp for schedule(dynamic, 1)
        for (int64_t task = 0; task < documents * KV_HEADS; task++) {
            int64_t start = offsets[task / KV_HEADS], length = offsets[task / KV_HEADS + 1] - start;
            int64_t padded = (length + LANES - 1) / LANES * LANES, kv_head = task % KV_HEADS;
            const float *rows = qkv + start * QKV_WIDTH;
            float *grad_rows = grad_qkv + start * QKV_WIDTH;
            load_head(rows + Q_WIDTH + kv_head * HEAD_DIM, QKV_WIDTH, length, cosine, sine, 1, s.k, s.k_lanes);
            load_head(rows + Q_WIDTH + KV_WIDTH + kv_head * HEAD_DIM, QKV_WIDTH, length, NULL, NULL, 1, s.v, s.v_lanes);
            memset(s.dk, 0, padded * HEAD_DIM * sizeof(float));
            memset(s.dv, 0, padded * HEAD_DIM * sizeof(float));
            for (int64_t head = kv_head * GROUP; head < (kv_head + 1) * GROUP; head++) {
                load_head(rows + head * HEAD_DIM, QKV_WIDTH, length, cosine, sine, scale, s.q, s.q_lanes);
                load_head(grad_output + start * Q_WIDTH + head * HEAD_DIM, Q_WIDTH, length, NULL, NULL, 1, s.dout, s.do_lanes);
                for (int64_t position = 0; position < padded; position++) {
                    float delta = 0;
                    if (position < length) {
                        const float *out = output + (start + position) * Q_WIDTH + head * HEAD_DIM;
                        for (int i = 0; i < HEAD_DIM; i++) delta += out[i] * s.dout[position * HEAD_DIM + i];
                    }
                    s.delta[position] = delta;
                    s.lse[position] = position < length ? lse[(start + position) * HEADS + head] : 0;
                }
                /* Query gradients: a vector spans 16 queries, the loop runs over their keys. */
                for (int64_t block = 0; block * LANES < length; block++) {
                    int64_t base = block * LANES, end = base + LANES < length ? base + LANES : length;
                    const vec *q = s.q_lanes + block * HEAD_DIM, *dout = s.do_lanes + block * HEAD_DIM;
                    vec log_sum = *(vec *)(s.lse + base), delta = *(vec *)(s.delta + base), dq[HEAD_DIM];
                    for (int64_t key = 0; key < end; key++) {
                        vec p = exp_vec(dot_lanes(q, s.k + key * HEAD_DIM) - log_sum);
                        if (key > base) p = keep_from(p, key - base, 0);
                        s.first[key] = p;
                    }
                    for (int64_t key = 0; key < end; key++)
                        s.first[key] *= dot_lanes(dout, s.v + key * HEAD_DIM) - delta;
                    UNROLL for (int i = 0; i < HEAD_DIM; i++) dq[i] = splat(0);
                    for (int64_t key = 0; key < end; key++) {
                        const float *k = s.k + key * HEAD_DIM;
                        vec ds = s.first[key];
                        UNROLL for (int i = 0; i < HEAD_DIM; i++) dq[i] += ds * k[i];
                    }
                    for (int64_t lane = 0; lane < end - base; lane++) {
                        float row[HEAD_DIM];
                        for (int i = 0; i < HEAD_DIM; i++) row[i] = dq[i][lane] * scale;
                        store_rotated_back(row, grad_rows + (base + lane) * QKV_WIDTH + head * HEAD_DIM,
                                           cosine + (base + lane) * (HEAD_DIM / 2), sine + (base + lane) * (HEAD_DIM / 2));
                    }
                }
                /* Key and value gradients: a vector spans 16 keys, the loop runs over later queries. */
                for (int64_t block = 0; block * LANES < length; block++) {
                    int64_t base = block * LANES;
                    const vec *k = s.k_lanes + block * HEAD_DIM, *v = s.v_lanes + block * HEAD_DIM;
                    vec grad[HEAD_DIM];
                    for (int64_t query = base; query < length; query++) {
                        vec p = exp_vec(dot_lanes(k, s.q + query * HEAD_DIM) - s.lse[query]);
                        if (query < base + LANES) p = keep_until(p, query - base, 0);
                        s.first[query] = p;
                    }
                    for (int64_t query = base; query < length; query++)
                        s.second[query] = s.first[query] * (dot_lanes(v, s.dout + query * HEAD_DIM) - s.delta[query]);
                    UNROLL for (int i = 0; i < HEAD_DIM; i++) grad[i] = splat(0);
                    for (int64_t query = base; query < length; query++) {
                        const float *dout = s.dout + query * HEAD_DIM;
                        vec p = s.first[query];
                        UNROLL for (int i = 0; i < HEAD_DIM; i++) grad[i] += p * dout[i];
                    }
                    for (int i = 0; i < HEAD_DIM; i++)
                        for (int lane = 0; lane < LANES; lane++) s.dv[(base + lane) * HEAD_DIM + i] += grad[i][lane];
                    UNROLL for (int i = 0; i < HEAD_DIM; i++) grad[i] = splat(0);
                    for (int64_t query = base; query < length; query++) {
                        const float *q = s.q + query * HEAD_DIM;
                        vec ds = s.second[query];
                        UNROLL for (int i = 0; i < HEAD_DIM; i++) grad[i] += ds * q[i];
                    }
                    for (int i = 0; i < HEAD_DIM; i++)
                        for (int lane = 0; lane < LANES; lane++) s.dk[(base + lane) * HEAD_DIM + i] += grad[i][lane];
                }
            }
            for (int64_t position = 0; position < length; position++) {
                float *target = grad_rows + position * QKV_WIDTH + Q_WIDTH + kv_head * HEAD_DIM;
                store_rotated_back(s.dk + position * HEAD_DIM, target,
                                   cosine + position * (HEAD_DIM / 2), sine + position * (HEAD_DIM / 2));
                memcpy(target + KV_WIDTH, s.dv + position * HEAD_DIM, HEAD_DIM * sizeof(float));
            }
        }
        free(s.q_lanes);
    }
}
