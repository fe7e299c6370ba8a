/* The line of a board on this machine: standard input and output, or a pseudo terminal. */
#ifndef TERMINAL_H
#define TERMINAL_H

/* Make a pseudo terminal in raw mode and print its name on stdout; the descriptor to read and write, which does not
 * wait. The other end stays open here, so that programs may come and go. Ends the program when there is none. */
int open_terminal(void);

/* Make a descriptor one that does not wait. */
void do_not_wait(int descriptor);

#endif
