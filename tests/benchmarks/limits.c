/* What the machine itself can do: the work of a benchmark with nothing but its system calls, for `make bench`.

   limits stat FOLDER [N]    open, fstat, pread of 4,096 bytes and close, of every file two folders down
   limits walk FILE [N]      a tar of tars by one pread of 512 + 4,096 bytes a member
   limits link FOLDER DEST   link(2) of every file two folders down
   limits copy FOLDER DEST   sendfile(2) of every file two folders down
   limits tee FOLDER DEST N  read(2) of every file two folders down, gathered in 1 MiB, and write(2) to each of N
                             files, which fsync(2) puts on the disk at the end
   The first two by N threads, each of which takes a class at a time: N requests to the disk at once. Where N is given,
   files are said to be read at random, that no page is read ahead.
   Each prints {"seconds": s, "units": n}. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 100000 };

static atomic_long units, next_class;
static char what;
static int at_random;
static const char *dest;
static int outs[16], n_outs;
static char gathered[1 << 20];
static size_t n_gathered;
static struct { char *path; off_t place, end; } classes[MOST];
static long n_classes;

static void die(const char *path) {
    perror(path);
    exit(1);
}

static void flush(void) {
    for (int i = 0; i < n_outs; i++)
        for (size_t done = 0; done < n_gathered;) {
            ssize_t n = write(outs[i], gathered + done, n_gathered - done);
            if (n <= 0) die(dest);
            done += n;
        }
    n_gathered = 0;
}

static void gather(int fd, const char *path) {
    for (;;) {
        if (n_gathered == sizeof gathered) flush();
        ssize_t n = read(fd, gathered + n_gathered, sizeof gathered - n_gathered);
        if (n < 0) die(path);
        if (!n) return;
        n_gathered += n;
    }
}

static void file(const char *path, const char *folder, const char *name) {
    char buffer[4096], to[4096];
    struct stat status;
    units++;
    if (what == 'l' || what == 'c') snprintf(to, sizeof to, "%s/%s/%s", dest, folder, name);
    if (what == 'l') {
        if (link(path, to)) die(to);
        return;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status)) die(path);
    if (at_random && posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM)) die(path);
    if (what == 't') gather(fd, path);
    if (what == 's' && pread(fd, buffer, sizeof buffer, 0) < 0) die(path);
    if (what == 'c') {
        int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (out < 0) die(to);
        for (off_t left = status.st_size; left > 0;) {
            ssize_t n = sendfile(out, fd, NULL, left);
            if (n <= 0) die(to);
            left -= n;
        }
        close(out);
    }
    close(fd);
}

static void folders(const char *root, int depth, const char *above) {
    DIR *dir = opendir(root);
    if (!dir) die(root);
    struct dirent *entry;
    char path[4096];
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", root, entry->d_name);
        if (depth == 1) {
            file(path, above, entry->d_name);
            continue;
        }
        if (what == 's') {
            if (n_classes == MOST) die("too many classes");
            classes[n_classes++].path = strdup(path);
            continue;
        }
        if (what == 'l' || what == 'c') {
            char made[4096];
            snprintf(made, sizeof made, "%s/%s", dest, entry->d_name);
            if (mkdir(made, 0755)) die(made);
        }
        folders(path, depth - 1, entry->d_name);
    }
    closedir(dir);
}

/* The members of a tar from place to end; of the tar around class tars, where each of these is. */
static void walk(int fd, off_t place, off_t end) {
    char buffer[512 + 4096];
    while (place < end && pread(fd, buffer, sizeof buffer, place) >= 512) {
        if (!buffer[0]) {
            place += 512;
            continue;
        }
        long size = strtol(buffer + 124, NULL, 8);
        size_t n = strnlen(buffer, 100);
        place += 512;
        if (n > 4 && !memcmp(buffer + n - 4, ".tar", 4)) {
            if (n_classes == MOST) die("too many classes");
            classes[n_classes].place = place;
            classes[n_classes++].end = place + size;
        } else units++;
        place += (size + 511) / 512 * 512;
    }
}

static void *work(void *path) {
    /* Each has its own descriptor, as each process has. */
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) die(path);
    for (long n; (n = next_class++) < n_classes;) {
        if (what == 's') folders(classes[n].path, 1, "");
        else walk(fd, classes[n].place, classes[n].end);
    }
    close(fd);
    return NULL;
}

static void by_threads(const char *path, int n) {
    pthread_t threads[n];
    if (what == 's') folders(path, 2, "");
    else {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct stat status;
        if (fd < 0 || fstat(fd, &status)) die(path);
        walk(fd, 0, status.st_size);
        close(fd);
    }
    for (int i = 0; i < n; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)path)) die("pthread_create");
    for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
}

int main(int argc, char **argv) {
    struct timespec began, ended;
    if (argc < 3) return 2;
    what = argv[1][0];
    int reads = what == 's' || what == 'w';
    at_random = what == 's' && argc > 3;
    dest = argc > 3 && !reads ? argv[3] : NULL;
    if (dest && mkdir(dest, 0755)) die(dest);
    n_outs = what == 't' && argc > 4 ? atoi(argv[4]) : 0;
    if (n_outs > (int)(sizeof outs / sizeof *outs)) return 2;
    for (int i = 0; i < n_outs; i++) {
        char to[4096];
        snprintf(to, sizeof to, "%s/%d", dest, i);
        if ((outs[i] = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) < 0) die(to);
    }
    clock_gettime(CLOCK_MONOTONIC, &began);
    if (reads) by_threads(argv[2], argc > 3 ? atoi(argv[3]) : 1);
    else folders(argv[2], 2, "");
    flush();
    for (int i = 0; i < n_outs; i++)
        if (fsync(outs[i])) die(dest);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    printf("{\"seconds\": %.6f, \"units\": %ld}\n",
           ended.tv_sec - began.tv_sec + (ended.tv_nsec - began.tv_nsec) / 1e9, (long)units);
    return 0;
}
