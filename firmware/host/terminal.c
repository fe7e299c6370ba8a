#include "terminal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

static int checked(int result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(1);
    }
    return result;
}

void do_not_wait(int descriptor)
{
    checked(fcntl(descriptor, F_SETFL, O_NONBLOCK), "fcntl");
}

int open_terminal(void)
{
    struct termios settings;
    int ours = checked(posix_openpt(O_RDWR | O_NOCTTY), "posix_openpt");
    const char *name;
    int theirs;
    checked(grantpt(ours), "grantpt");
    checked(unlockpt(ours), "unlockpt");
    name = ptsname(ours);
    theirs = checked(open(name, O_RDWR | O_NOCTTY), "the pseudo terminal");
    checked(tcgetattr(theirs, &settings), "tcgetattr");
    settings.c_iflag = 0;
    settings.c_oflag = 0;
    settings.c_lflag = 0;
    settings.c_cflag = CS8 | CREAD | CLOCAL;
    settings.c_cc[VMIN] = 1;
    settings.c_cc[VTIME] = 0;
    checked(tcsetattr(theirs, TCSANOW, &settings), "tcsetattr");
    do_not_wait(ours);
    puts(name);
    fflush(stdout);
    return ours;
}
