/* How many multiply-adds a core does in a second when nothing stands in their way: registers only, no memory.
 *
 * Prints a line a kind: its name, the instructions, multiply-adds per second. Each is the best of many bursts of some
 * microseconds: a burst that another program interrupts says nothing about the core. */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

enum { BURSTS = 2000, TURNS = 20000, LANES = 10 };

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A function that runs STEP on LANES independent sums; the empty assembly makes each one happen. */
#define KIND(name, type, given, zero, reg, per_step, STEP)                                  \
    static double name(void) {                                                             \
        double best = 0.0;                                                                  \
        type a = given, b = given;                                                          \
        __asm__ volatile("" : "+" reg(a), "+" reg(b));                                      \
        for (int burst = 0; burst < BURSTS; ++burst) {                                      \
            type sum[LANES];                                                                \
            for (int i = 0; i < LANES; ++i) sum[i] = zero;                                  \
            const double begin = now_s();                                                   \
            for (int turn = 0; turn < TURNS / LANES; ++turn) {                              \
                _Pragma("GCC unroll 10") for (int i = 0; i < LANES; ++i) {                  \
                    STEP;                                                                   \
                    __asm__ volatile("" : "+" reg(sum[i]));                                 \
                }                                                                           \
            }                                                                               \
            const double rate = (double)(per_step)*TURNS / (now_s() - begin);               \
            if (rate > best) best = rate;                                                   \
        }                                                                                   \
        return best;                                                                        \
    }

#if defined(__x86_64__)
#include <immintrin.h>
#if defined(__AVX512F__)
KIND(float32, __m512, _mm512_set1_ps(1e-9f), _mm512_setzero_ps(), "v", 16, sum[i] = _mm512_fmadd_ps(a, b, sum[i]))
#define FLOAT32 "vfmadd, 512 bits"
#elif defined(__FMA__)
KIND(float32, __m256, _mm256_set1_ps(1e-9f), _mm256_setzero_ps(), "x", 8, sum[i] = _mm256_fmadd_ps(a, b, sum[i]))
#define FLOAT32 "vfmadd, 256 bits"
#endif
#if defined(__AVX512VNNI__)
KIND(int8, __m512i, _mm512_set1_epi8(1), _mm512_setzero_si512(), "v", 64, sum[i] = _mm512_dpbusd_epi32(sum[i], a, b))
#define INT8 "vpdpbusd, 512 bits"
#elif defined(__AVXVNNI__)
KIND(int8, __m256i, _mm256_set1_epi8(1), _mm256_setzero_si256(), "x", 32,
     sum[i] = _mm256_dpbusd_avx_epi32(sum[i], a, b))
#define INT8 "vpdpbusd, 256 bits"
#elif defined(__AVX2__)
/* Without a dot product of bytes: pairs to 16 bits, pairs of these to 32, then the sum. The first empty assembly keeps
 * the compiler from doing the first product once for all steps. */
KIND(int8, __m256i, _mm256_set1_epi8(1), _mm256_setzero_si256(), "x", 32,
     __asm__ volatile("" : "+x"(a)); __m256i pairs = _mm256_maddubs_epi16(a, b);
     sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(pairs, b)))
#define INT8 "vpmaddubsw, vpmaddwd, vpaddd, 256 bits"
#endif
#elif defined(__aarch64__)
#include <arm_neon.h>
KIND(float32, float32x4_t, vdupq_n_f32(1e-9f), vdupq_n_f32(0), "w", 4, sum[i] = vfmaq_f32(sum[i], a, b))
#define FLOAT32 "fmla, 128 bits"
#if defined(__ARM_FEATURE_DOTPROD)
KIND(int8, int32x4_t, vdupq_n_s32(1), vdupq_n_s32(0), "w", 16,
     sum[i] = vdotq_s32(sum[i], vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b)))
#define INT8 "sdot, 128 bits"
#endif
#endif

int main(void) {
#ifdef FLOAT32
    printf("float32\t%s\t%.6e\n", FLOAT32, float32());
#endif
#ifdef INT8
    printf("int8\t%s\t%.6e\n", INT8, int8());
#endif
    return 0;
}
