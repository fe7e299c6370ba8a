/* What the electrodes and the lead-off pins of a simulated board see, from a text file:
 *
 *   fs_hz 360
 *   2512          millivolts at A0, a row a sample
 *   2498 1 0      and LO+, LO- from here on, until other ones are given
 *
 * Behind its end the last row lasts. */
#ifndef SIGNAL_FILE_H
#define SIGNAL_FILE_H

#include <stddef.h>
#include <stdint.h>

struct signal_row {
    uint16_t mv;
    uint8_t lo_plus, lo_minus;
};

struct signal_file {
    double fs_hz;
    size_t n_rows;
    struct signal_row *rows;
};

/* Read a file; ends the program with a message when it is not one. */
struct signal_file signal_load(const char *name);

/* The row at a time since its beginning. */
const struct signal_row *signal_at(const struct signal_file *file, double t_s);

#endif
