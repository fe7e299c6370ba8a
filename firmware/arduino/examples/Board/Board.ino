// An AD8232 on an Uno or a Nano: OUTPUT to A0, LO+ to D10, LO- to D11.
// Read it on the computer with: edge-ecg run --port /dev/ttyACM0
// The gain is that of SparkFun's board; another board's goes into edge_port_config.h of this library.
// Only battery power while electrodes touch a person. Not a medical device.
#include <EdgeEcg.h>

void setup() {
  edge_avr_begin();
}

void loop() {
  edge_avr_poll();
}
