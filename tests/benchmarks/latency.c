/* A slow disk in front of some files: each request to them waits, as on a network disk. For `make bench`.

   cc -O2 -shared -fPIC -o latency.so latency.c
   LD_PRELOAD=latency.so LATENCY_UNDER=/data LATENCY_US=1000 COMMAND...

   Every open of a regular file below LATENCY_UNDER, and every read of it, sleeps LATENCY_US microseconds first.
   Requests of several threads or processes wait side by side. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { DESCRIPTORS = 65536 };

static char is_slow[DESCRIPTORS];

static void wait_for_disk(void) {
    const char *text = getenv("LATENCY_US");
    long microseconds = text ? atol(text) : 0;
    struct timespec time = {microseconds / 1000000, microseconds % 1000000 * 1000};
    nanosleep(&time, NULL);
}

static void note_open(int fd) {
    const char *under = getenv("LATENCY_UNDER");
    char link[64], path[4096] = "";
    struct stat status;
    if (fd < 0 || fd >= DESCRIPTORS || !under) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof path - 1) < 0) return;
    is_slow[fd] = !strncmp(path, under, strlen(under)) && !fstat(fd, &status) && S_ISREG(status.st_mode);
    if (is_slow[fd]) wait_for_disk();
}

static void before_read(int fd) {
    if (fd >= 0 && fd < DESCRIPTORS && is_slow[fd]) wait_for_disk();
}

#define OPEN(name, PARAMETERS, ARGUMENTS, TYPE)                                  \
    int name PARAMETERS {                                                        \
        static int (*real) TYPE;                                                 \
        va_list rest;                                                            \
        va_start(rest, flags);                                                   \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;  \
        va_end(rest);                                                            \
        if (!real) real = dlsym(RTLD_NEXT, #name);                               \
        int fd = real ARGUMENTS;                                                 \
        note_open(fd);                                                           \
        return fd;                                                               \
    }
OPEN(open, (const char *path, int flags, ...), (path, flags, mode), (const char *, int, ...))
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode), (const char *, int, ...))
OPEN(openat, (int folder, const char *path, int flags, ...), (folder, path, flags, mode), (int, const char *, int, ...))
OPEN(openat64, (int folder, const char *path, int flags, ...), (folder, path, flags, mode), (int, const char *, int, ...))

#define READ(name, PARAMETERS, ARGUMENTS)                       \
    ssize_t name PARAMETERS {                                   \
        static ssize_t (*real) PARAMETERS;                      \
        if (!real) real = dlsym(RTLD_NEXT, #name);              \
        before_read(fd);                                        \
        return real ARGUMENTS;                                  \
    }
READ(read, (int fd, void *buffer, size_t size), (fd, buffer, size))
READ(pread, (int fd, void *buffer, size_t size, off_t place), (fd, buffer, size, place))
READ(pread64, (int fd, void *buffer, size_t size, off_t place), (fd, buffer, size, place))
READ(preadv, (int fd, const struct iovec *parts, int n, off_t place), (fd, parts, n, place))
READ(preadv64, (int fd, const struct iovec *parts, int n, off_t place), (fd, parts, n, place))
READ(preadv2, (int fd, const struct iovec *parts, int n, off_t place, int flags), (fd, parts, n, place, flags))
READ(preadv64v2, (int fd, const struct iovec *parts, int n, off_t place, int flags), (fd, parts, n, place, flags))

int close(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "close");
    if (fd >= 0 && fd < DESCRIPTORS) is_slow[fd] = 0;
    return real(fd);
}
