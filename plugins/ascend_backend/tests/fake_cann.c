/* CANN's C interface, as far as MindSpore's Ascend plugin calls it here: it computes nothing, and writes down what it is
 * asked. MindSpore's plugin is the one that ships; these functions stand where CANN's libraries would.
 *
 * Environment: FAKE_CANN_LOG, the file to write to; FAKE_CANN_CHIP, the chip's name; FAKE_CANN_MEETING, a folder in which
 * the processes of a group meet. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const size_t TOTAL = 64ul << 30, FREE = 60ul << 30;

static void say(const char *format, ...) {
  const char *name = getenv("FAKE_CANN_LOG");
  FILE *file = name ? fopen(name, "a") : NULL;
  if (!file) return;
  va_list arguments;
  va_start(arguments, format);
  vfprintf(file, format, arguments);
  va_end(arguments);
  fputc('\n', file);
  fclose(file);
}

/* For every other function: it succeeds, and makes whatever it is called to create. */
long fake_answer(const char *name) {
  return !strncmp(name, "aclCreate", 9) || strstr(name, "CreateDesc") ? (long)calloc(1, 256) : 0;
}

static void *memory(size_t size) { /* reserved, and taken when it is touched */
  return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

/* Devices, streams, events, memory -------------------------------------------------------------------------------- */

static int device;
static void *context;
const char *aclrtGetSocName(void) { return getenv("FAKE_CANN_CHIP"); }
int aclrtGetDeviceCount(uint32_t *count) { return *count = 8, 0; }
int aclrtSetDevice(int number) { return say("aclrtSetDevice %d", number), device = number, 0; }
int aclrtGetDevice(int *number) { return *number = device, 0; }
int aclrtCreateContext(void **made, int number) { return *made = malloc(64), 0; }
int aclrtGetCurrentContext(void **current) { return *current = context ? context : (context = malloc(64)), 0; }
int aclrtSetCurrentContext(void *current) { return context = current, 0; }
int aclrtGetRunMode(int *mode) { return *mode = 1, 0; }
int aclrtCtxSetSysParamOpt(int option, int64_t value) { return say("aclrtCtxSetSysParamOpt %d %ld", option, value), 0; }
int aclrtCreateStream(void **made) { return *made = malloc(64), 0; }
int aclrtCreateStreamWithConfig(void **made, uint32_t priority, uint32_t flags) { return *made = malloc(64), 0; }
int aclrtCreateEventExWithFlag(void **made, uint32_t flags) { return *made = malloc(64), 0; }
int aclrtCreateEventWithFlag(void **made, uint32_t flags) { return *made = malloc(64), 0; }
int aclrtQueryEventStatus(void *event, int *status) { return *status = 1, 0; }
int aclrtProcessReport(int milliseconds) { return usleep(20000), 107014; } /* timed out: nothing to report */
int aclrtGetMemInfo(int kind, size_t *left, size_t *total) { return *left = FREE, *total = TOTAL, 0; }
int aclrtMalloc(void **at, size_t size, int policy) { return say("aclrtMalloc %zu", size), *at = memory(size), 0; }
int aclrtMallocHost(void **at, size_t size) { return *at = calloc(1, size), 0; }
int aclrtFreeHost(void *at) { return free(at), 0; }
int aclrtReserveMemAddress(void **at, size_t size, size_t alignment, void *wanted, uint64_t flags) {
  return say("aclrtReserveMemAddress %zu", size), *at = memory(size), 0;
}
int aclrtMallocPhysical(void **handle, size_t size, void *properties, uint64_t flags) { return *handle = malloc(8), 0; }
int aclrtMapMem(void *at, size_t size, size_t offset, void *handle, uint64_t flags) { return 0; }
int aclrtMemcpy(void *to, size_t room, const void *from, size_t size, int kind) { return memcpy(to, from, size), 0; }
int aclrtMemcpyAsync(void *to, size_t room, const void *from, size_t size, int kind, void *stream) {
  return memcpy(to, from, size), 0;
}
int aclrtMemset(void *at, size_t room, int value, size_t size) { return memset(at, value, size), 0; }

/* Collectives: of two processes, each its own ------------------------------------------------------------------------ */

int HcclGetRootInfo(void *root) { return memset(root, '1', 4108), 0; } /* HCCL_ROOT_INFO_BYTES; none is "not there yet" */
static int joined(uint32_t size, uint32_t rank, void **made) { /* returns when all are here, as HCCL does */
  static int groups;
  char name[512];
  say("HcclCommInitRootInfo %u of %u", rank, size);
  for (uint32_t i = 0; i < size; i++) {
    snprintf(name, sizeof name, "%s/%d-%u", getenv("FAKE_CANN_MEETING"), groups, (rank + i) % size);
    if (i == 0) fclose(fopen(name, "w"));
    for (int tries = 0; access(name, F_OK) && tries < 6000; tries++) usleep(20000);
  }
  return groups++, *made = malloc(8), 0;
}
int HcclCommInitRootInfo(uint32_t size, void *root, uint32_t rank, void **made) { return joined(size, rank, made); }
int HcclCommInitRootInfoConfig(uint32_t size, void *root, uint32_t rank, void *config, void **made) {
  return joined(size, rank, made);
}
int HcclGetCommName(void *group, char *name) { return sprintf(name, "group%p", group), 0; }
int HcclAllReduce(void *in, void *out, uint64_t count, int type, int operation, void *group, void *stream) {
  return say("HcclAllReduce %lu type %d operation %d", count, type, operation), 0;
}
int HcclAllGather(void *in, void *out, uint64_t count, int type, void *group, void *stream) {
  return say("HcclAllGather %lu type %d", count, type), 0;
}
int HcclReduceScatter(void *in, void *out, uint64_t count, int type, int operation, void *group, void *stream) {
  return say("HcclReduceScatter %lu type %d operation %d", count, type, operation), 0;
}
int HcclBroadcast(void *at, uint64_t count, int type, uint32_t root, void *group, void *stream) {
  return say("HcclBroadcast %lu type %d root %u", count, type, root), 0;
}
int HcclSend(void *at, uint64_t count, int type, uint32_t to, void *group, void *stream) {
  return say("HcclSend %lu type %d to %u", count, type, to), 0;
}
int HcclRecv(void *at, uint64_t count, int type, uint32_t from, void *group, void *stream) {
  return say("HcclRecv %lu type %d from %u", count, type, from), 0;
}
typedef struct { int kind; void *at; uint64_t count; int type; uint32_t peer; } Item;
int HcclBatchSendRecv(Item *items, uint32_t count, void *group, void *stream) {
  for (uint32_t i = 0; i < count; i++)
    say("HcclBatchSendRecv %s %lu type %d peer %u", items[i].kind ? "recv" : "send", items[i].count, items[i].type,
        items[i].peer);
  return 0;
}

/* Operators: what makes a tensor describes it, what prepares a kernel puts its arguments into words, what runs it says
 * them. ----------------------------------------------------------------------------------------------------------- */

static const char *TYPES[] = {"f32", "f16", "i8", "i32", "u8", "", "i16", "u16", "u32", "i64", "u64", "f64", "bool"};
void *aclCreateTensor(const int64_t *sizes, uint64_t axes, int type, const int64_t *strides, int64_t offset, int format,
                      const int64_t *stored, uint64_t stored_axes, void *data) {
  char *text = calloc(1, 256), *end = text + sprintf(text, "%s[", type == 27 ? "bf16" : type < 13 ? TYPES[type] : "?");
  for (uint64_t i = 0; i < axes; i++) end += sprintf(end, i ? ",%ld" : "%ld", (long)sizes[i]);
  return strcpy(end, "]"), text;
}
int aclDestroyTensor(void *tensor) { return free(tensor), 0; }
void *aclCreateIntArray(const int64_t *values, uint64_t count) { return calloc(1, 8); }
int aclDestroyIntArray(void *array) { return free(array), 0; }

static const char *in(const void *tensor) { return tensor ? tensor : "none"; }
static int prepared(uint64_t *workspace, char **executor, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  *workspace = 0;
  int length = vasprintf(executor, format, arguments);
  va_end(arguments);
  return length < 0;
}
#define RUNS(kernel) \
  int kernel(void *workspace, uint64_t size, const char *executor, void *stream) { return say(#kernel " %s", executor), 0; }
#define OUT uint64_t *workspace, char **executor

RUNS(aclnnFlashAttentionScore)
int aclnnFlashAttentionScoreGetWorkspaceSize(
    void *query, void *key, void *value, void *shift, void *drop, void *padding, void *mask, void *prefix, double scale,
    double keep, int64_t before, int64_t after, int64_t heads, char *layout, int64_t precise, int64_t sparse,
    void *maximum, void *sum, void *softmax, void *out, OUT) {
  return prepared(workspace, executor, "%s %s %s shift %s drop %s mask %s scale %g keep %g heads %ld %s sparse %ld -> %s",
                  in(query), in(key), in(value), in(shift), in(drop), in(mask), scale, keep, heads, layout, sparse, in(out));
}
RUNS(aclnnFlashAttentionScoreGrad)
int aclnnFlashAttentionScoreGradGetWorkspaceSize(
    void *query, void *key, void *value, void *dout, void *shift, void *drop, void *padding, void *mask, void *maximum,
    void *sum, void *softmax, void *out, void *prefix, double scale, double keep, int64_t before, int64_t after,
    int64_t heads, char *layout, int64_t precise, int64_t sparse, void *dquery, void *dkey, void *dvalue, void *dshift,
    OUT) {
  return prepared(workspace, executor, "%s mask %s scale %g heads %ld %s sparse %ld -> %s %s %s", in(dout), in(mask), scale,
                  heads, layout, sparse, in(dquery), in(dkey), in(dvalue));
}
RUNS(aclnnRmsNorm)
int aclnnRmsNormGetWorkspaceSize(void *x, void *weight, double epsilon, void *out, void *root, OUT) {
  return prepared(workspace, executor, "%s %s epsilon %g -> %s", in(x), in(weight), epsilon, in(out));
}
RUNS(aclnnRmsNormGrad)
int aclnnRmsNormGradGetWorkspaceSize(void *dout, void *x, void *root, void *weight, void *dx, void *dweight, OUT) {
  return prepared(workspace, executor, "%s -> %s %s", in(dout), in(dx), in(dweight));
}
RUNS(aclnnApplyAdamWV2)
int aclnnApplyAdamWV2GetWorkspaceSize(void *weight, void *first, void *second, void *largest, void *gradient, void *step,
                                      float rate, float beta1, float beta2, float decay, float epsilon, bool amsgrad,
                                      bool maximize, OUT) {
  return prepared(workspace, executor, "%s %s %s gradient %s step %s rate %g betas %g %g decay %g epsilon %g flags %d %d",
                  in(weight), in(first), in(second), in(gradient), in(step), rate, beta1, beta2, decay, epsilon, amsgrad,
                  maximize);
}

/* What surrounds them. */
int aclnnInit(const char *configuration) { return 0; }
int aclnnFinalize(void) { return 0; }
#define ONE(kernel) \
  RUNS(kernel) \
  int kernel##GetWorkspaceSize(void *x, OUT) { return prepared(workspace, executor, "%s", in(x)); }
#define TWO(kernel) \
  RUNS(kernel) \
  int kernel##GetWorkspaceSize(void *x, void *y, OUT) { return prepared(workspace, executor, "%s", in(x)); }
#define THREE(kernel) \
  RUNS(kernel) \
  int kernel##GetWorkspaceSize(void *x, void *y, void *z, OUT) { return prepared(workspace, executor, "%s", in(x)); }
#define FOUR(kernel) \
  RUNS(kernel) \
  int kernel##GetWorkspaceSize(void *x, void *y, void *z, void *u, OUT) { return prepared(workspace, executor, "%s", in(x)); }
#define CAST(kernel) \
  RUNS(kernel) \
  int kernel##GetWorkspaceSize(void *x, int type, void *y, OUT) { return prepared(workspace, executor, "%s", in(x)); }
ONE(aclnnInplaceZero)
THREE(aclnnMul)
THREE(aclnnMuls)
FOUR(aclnnAdd)
FOUR(aclnnAdds)
FOUR(aclnnSub)
FOUR(aclnnSubs)
THREE(aclnnLtScalar)
THREE(aclnnLtTensor)
CAST(aclnnCast)
TWO(aclnnInplaceCopy)
