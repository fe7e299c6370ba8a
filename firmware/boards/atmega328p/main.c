#include "edge_avr.h"

int main(void)
{
    edge_avr_begin();
    for (;;) {
        edge_avr_poll();
    }
}
