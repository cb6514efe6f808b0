// What can this machine do at best: bytes read, and multiply-adds made, in a second?
//
//   floor read BYTES THREADS SECONDS     bytes a second, over and over the same BYTES
//   floor fp32 THREADS SECONDS           multiply-adds a second of float32 in registers
//   floor int8 THREADS SECONDS           the same of 8-bit integers, summed in 32 bits
//
// Prints one number: the sum over the threads of each one's median rate, by the processor's time of
// the thread, so that other work on the machine does not count. Every thread has its own share of
// the bytes.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

enum { LINE = 512, MOST_SAMPLES = 1 << 16, CHAINS = 12, REPEATS = 2000 };
static const double LEAST_SAMPLE = 20e-6; // seconds: far longer than a look at the clock

static double seconds_of(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

// Keeps a value from being optimized away.
static volatile int64_t sink;

static void read_once(const char *bytes, size_t count) {
#if defined(__AVX512F__)
  __m512i sums[8];
  for (int k = 0; k < 8; k++) sums[k] = _mm512_setzero_si512();
  for (size_t i = 0; i < count; i += LINE)
    for (int k = 0; k < 8; k++)
      sums[k] = _mm512_xor_si512(sums[k], _mm512_load_si512(bytes + i + 64 * k));
  for (int k = 1; k < 8; k++) sums[0] = _mm512_xor_si512(sums[0], sums[k]);
  sink = _mm512_reduce_add_epi64(sums[0]);
#elif defined(__AVX2__)
  __m256i sums[8];
  for (int k = 0; k < 8; k++) sums[k] = _mm256_setzero_si256();
  for (size_t i = 0; i < count; i += LINE)
    for (int k = 0; k < 16; k++)
      sums[k % 8] = _mm256_xor_si256(sums[k % 8],
                                     _mm256_load_si256((const __m256i *)(bytes + i + 32 * k)));
  for (int k = 1; k < 8; k++) sums[0] = _mm256_xor_si256(sums[0], sums[k]);
  sink = _mm256_extract_epi64(sums[0], 0);
#else
  const uint64_t *words = (const uint64_t *)bytes;
  uint64_t sums[8] = {0};
  for (size_t i = 0; i < count / 8; i += 8)
    for (int k = 0; k < 8; k++) sums[k] ^= words[i + k];
  for (int k = 1; k < 8; k++) sums[0] ^= sums[k];
  sink = (int64_t)sums[0];
#endif
}

// REPEATS times CHAINS independent instructions; returns how many multiply-adds they are.
static double multiply_int8(void) {
#if defined(__AVX512VNNI__)
  __m512i sums[CHAINS], a = _mm512_set1_epi8((char)(sink | 1)), b = _mm512_set1_epi8(3);
  for (int k = 0; k < CHAINS; k++) sums[k] = _mm512_setzero_si512();
  for (int i = 0; i < REPEATS; i++)
    for (int k = 0; k < CHAINS; k++) sums[k] = _mm512_dpbusd_epi32(sums[k], a, b);
  for (int k = 1; k < CHAINS; k++) sums[0] = _mm512_add_epi32(sums[0], sums[k]);
  sink = _mm512_reduce_add_epi32(sums[0]) & 1;
  return 64.0 * CHAINS * REPEATS;
#elif defined(__AVX2__)
  __m256i sums[CHAINS], a = _mm256_set1_epi8((char)(sink | 1)), b = _mm256_set1_epi8(3);
  for (int k = 0; k < CHAINS; k++) sums[k] = _mm256_setzero_si256();
#if !defined(__AVXVNNI__)
  const __m256i ones = _mm256_set1_epi16(1);
#endif
  for (int i = 0; i < REPEATS; i++)
    for (int k = 0; k < CHAINS; k++) {
#if defined(__AVXVNNI__)
      sums[k] = _mm256_dpbusd_avx_epi32(sums[k], a, b);
#else
      // The barrier keeps a product of what never changes from being taken out of the loop.
      __asm__ volatile("" : "+x"(a));
      sums[k] = _mm256_add_epi32(sums[k], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
#endif
    }
  for (int k = 1; k < CHAINS; k++) sums[0] = _mm256_add_epi32(sums[0], sums[k]);
  sink = _mm256_extract_epi32(sums[0], 0) & 1;
  return 32.0 * CHAINS * REPEATS;
#elif defined(__ARM_FEATURE_DOTPROD)
  int32x4_t sums[CHAINS];
  int8x16_t a = vdupq_n_s8((int8_t)(sink | 1)), b = vdupq_n_s8(3);
  for (int k = 0; k < CHAINS; k++) sums[k] = vdupq_n_s32(0);
  for (int i = 0; i < REPEATS; i++)
    for (int k = 0; k < CHAINS; k++) sums[k] = vdotq_s32(sums[k], a, b);
  for (int k = 1; k < CHAINS; k++) sums[0] = vaddq_s32(sums[0], sums[k]);
  sink = vaddvq_s32(sums[0]) & 1;
  return 16.0 * CHAINS * REPEATS;
#else
  static int8_t a[1024], b[1024]; // in the nearest cache, for the compiler to make vectors of
  int32_t sum = 0;
  memset(a, (int)(sink | 1), sizeof a);
  memset(b, 3, sizeof b);
  for (int i = 0; i < REPEATS / 50; i++) {
    __asm__ volatile("" ::: "memory");
    for (int k = 0; k < 1024; k++) sum += a[k] * b[k];
  }
  sink = sum & 1;
  return 1024.0 * (REPEATS / 50);
#endif
}

static double multiply_fp32(void) {
#if defined(__AVX512F__)
  __m512 sums[CHAINS], a = _mm512_set1_ps(0.5f + (float)(sink & 1)), b = _mm512_set1_ps(0.25f);
  for (int k = 0; k < CHAINS; k++) sums[k] = _mm512_setzero_ps();
  for (int i = 0; i < REPEATS; i++)
    for (int k = 0; k < CHAINS; k++) sums[k] = _mm512_fmadd_ps(a, b, sums[k]);
  for (int k = 1; k < CHAINS; k++) sums[0] = _mm512_add_ps(sums[0], sums[k]);
  sink = (int64_t)_mm512_reduce_add_ps(sums[0]) & 1;
  return 16.0 * CHAINS * REPEATS;
#elif defined(__FMA__)
  __m256 sums[CHAINS], a = _mm256_set1_ps(0.5f + (float)(sink & 1)), b = _mm256_set1_ps(0.25f);
  for (int k = 0; k < CHAINS; k++) sums[k] = _mm256_setzero_ps();
  for (int i = 0; i < REPEATS; i++)
    for (int k = 0; k < CHAINS; k++) sums[k] = _mm256_fmadd_ps(a, b, sums[k]);
  for (int k = 1; k < CHAINS; k++) sums[0] = _mm256_add_ps(sums[0], sums[k]);
  sink = (int64_t)_mm256_cvtss_f32(sums[0]) & 1;
  return 8.0 * CHAINS * REPEATS;
#elif defined(__ARM_NEON) && defined(__aarch64__)
  float32x4_t sums[CHAINS], a = vdupq_n_f32(0.5f + (float)(sink & 1)), b = vdupq_n_f32(0.25f);
  for (int k = 0; k < CHAINS; k++) sums[k] = vdupq_n_f32(0);
  for (int i = 0; i < REPEATS; i++)
    for (int k = 0; k < CHAINS; k++) sums[k] = vfmaq_f32(sums[k], a, b);
  for (int k = 1; k < CHAINS; k++) sums[0] = vaddq_f32(sums[0], sums[k]);
  sink = (int64_t)vaddvq_f32(sums[0]) & 1;
  return 4.0 * CHAINS * REPEATS;
#else
  static float sums[64];
  float a = 0.5f + (float)(sink & 1);
  for (int i = 0; i < REPEATS; i++) {
    __asm__ volatile("" ::: "memory");
    for (int k = 0; k < 64; k++) sums[k] += a * 0.25f;
  }
  sink = (int64_t)sums[0] & 1;
  return 64.0 * REPEATS;
#endif
}

typedef struct {
  const char *what;
  size_t bytes;
  double seconds, rate;
  pthread_barrier_t *barrier;
} Work;

static double once(const Work *work, const char *bytes) {
  if (!strcmp(work->what, "read")) {
    read_once(bytes, work->bytes);
    return (double)work->bytes;
  }
  return strcmp(work->what, "int8") ? multiply_fp32() : multiply_int8();
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static void *measure(void *given) {
  Work *work = given;
  char *bytes = NULL;
  if (work->bytes) {
    bytes = aligned_alloc(LINE, work->bytes);
    if (!bytes) exit(3);
    memset(bytes, 1, work->bytes);
  }
  double *rates = malloc(sizeof(double) * MOST_SAMPLES);
  if (!rates) exit(3);
  once(work, bytes);
  double began = seconds_of(CLOCK_THREAD_CPUTIME_ID);
  once(work, bytes);
  int passes = 1 + (int)(LEAST_SAMPLE / (seconds_of(CLOCK_THREAD_CPUTIME_ID) - began + 1e-9));
  pthread_barrier_wait(work->barrier);
  // The first third brings clock and caches to where they stay.
  int count = 0;
  double start = seconds_of(CLOCK_MONOTONIC), passed = 0;
  while (count < MOST_SAMPLES && passed <= work->seconds) {
    double done = 0;
    began = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < passes; i++) done += once(work, bytes);
    double took = seconds_of(CLOCK_THREAD_CPUTIME_ID) - began;
    passed = seconds_of(CLOCK_MONOTONIC) - start;
    if (passed > work->seconds / 3) rates[count++] = done / took;
  }
  qsort(rates, (size_t)count, sizeof(double), compare);
  work->rate = rates[count / 2];
  free(rates);
  free(bytes);
  return NULL;
}

int main(int count, char **words) {
  int reads = count == 5 && !strcmp(words[1], "read");
  if (!reads && count != 4) {
    fprintf(stderr, "usage: floor read BYTES THREADS SECONDS | floor fp32|int8 THREADS SECONDS\n");
    return 2;
  }
  int threads = atoi(words[2 + reads]);
  double seconds = atof(words[3 + reads]), sum = 0;
  if (threads < 1 || threads > 64 || seconds <= 0) return 2;
  size_t share = reads ? strtoull(words[2], NULL, 10) / (size_t)threads : 0;
  share = (share + LINE - 1) / LINE * LINE;
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, NULL, (unsigned)threads);
  pthread_t handles[64];
  Work works[64];
  for (int i = 0; i < threads; i++) {
    works[i] = (Work){words[1], share, seconds, 0, &barrier};
    if (pthread_create(&handles[i], NULL, measure, &works[i])) return 3;
  }
  for (int i = 0; i < threads; i++) {
    pthread_join(handles[i], NULL);
    sum += works[i].rate;
  }
  printf("%.6g\n", sum);
  return 0;
}
