/* A delegate library for the tests: what libedgetpu exports, without a device. Built once for each BEHAVIOUR.
 *
 * The struct is TfLiteDelegate of TensorFlow Lite's C API (tensorflow/lite/core/c/common.h).
 */
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

enum { WORKS, REFUSES, REFUSES_SILENTLY, CRASHES, HANGS };

struct delegate {
    void *data;
    int (*prepare)(void *context, struct delegate *self);
    void *copy_from_buffer_handle, *copy_to_buffer_handle, *free_buffer_handle;
    int64_t flags;
    void *opaque_delegate_builder;
};

static int n_prepared;

/* How often a graph was offered to this library: shows that it was really asked. */
int times_prepared(void) { return n_prepared; }

/* Takes no operator, so the interpreter computes the graph itself. */
static int prepare(void *context, struct delegate *self)
{
    (void)context;
    (void)self;
    n_prepared++;
    return 0;
}

struct delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t n, void (*report)(const char *))
{
    static struct delegate working = {.prepare = prepare};
    (void)keys;
    (void)values;
    (void)n;
    switch (BEHAVIOUR) {
    case REFUSES:
        report("no Edge TPU of mine is plugged in");
        return NULL;
    case REFUSES_SILENTLY:
        return NULL;
    case CRASHES:
        raise(SIGSEGV);
        return NULL;
    case HANGS:
        for (;;)
            pause();
    default:
        return &working;
    }
}

void tflite_plugin_destroy_delegate(struct delegate *self) { (void)self; }
