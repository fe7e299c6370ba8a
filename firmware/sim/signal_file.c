#include "signal_file.h"

#include <stdio.h>
#include <stdlib.h>

static void refuse(const char *name, const char *why)
{
    fprintf(stderr, "%s: %s\n", name, why);
    exit(1);
}

struct signal_file signal_load(const char *name)
{
    struct signal_file file = {0, 0, NULL};
    struct signal_row row = {0, 0, 0};
    size_t room = 0;
    char line[64];
    FILE *text = fopen(name, "r");
    if (text == NULL || fgets(line, sizeof(line), text) == NULL) {
        refuse(name, "cannot be read");
    }
    if (sscanf(line, "fs_hz %lf", &file.fs_hz) != 1 || !(file.fs_hz > 0)) {
        refuse(name, "does not begin with fs_hz");
    }
    while (fgets(line, sizeof(line), text) != NULL) {
        unsigned mv, lo_plus, lo_minus;
        int n = sscanf(line, "%u %u %u", &mv, &lo_plus, &lo_minus);
        if (n != 1 && n != 3) {
            refuse(name, "has a row that is neither MV nor MV LO+ LO-");
        }
        row.mv = (uint16_t)mv;
        if (n == 3) {
            row.lo_plus = lo_plus != 0;
            row.lo_minus = lo_minus != 0;
        }
        if (file.n_rows == room) {
            room = 2 * room + 1024;
            file.rows = realloc(file.rows, room * sizeof(row));
            if (file.rows == NULL) {
                refuse(name, "is too long");
            }
        }
        file.rows[file.n_rows++] = row;
    }
    if (file.n_rows == 0) {
        refuse(name, "has no row");
    }
    fclose(text);
    return file;
}

const struct signal_row *signal_at(const struct signal_file *file, double t_s)
{
    double index = t_s * file->fs_hz;
    return &file->rows[index < (double)file->n_rows ? (size_t)index : file->n_rows - 1];
}
