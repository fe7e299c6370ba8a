from __future__ import annotations

import errno
import grp
import json
import os

import serial

from firmware_bridge import diagnosis
from firmware_bridge.ports import PortInfo, list_ports, natural_key


def test_ports_are_listed_in_order_and_ready_for_json():
    ports = list_ports()
    assert ports == sorted(ports, key=lambda port: natural_key(port.device)) == list_ports()
    json.dumps([port.as_dict() for port in ports])


def test_numbers_in_names_count_as_numbers():
    names = ["/dev/ttyUSB10", "/dev/ttyACM1", "/dev/ttyUSB2", "/dev/ttyS", "/dev/ttyACM0"]
    expected = ["/dev/ttyACM0", "/dev/ttyACM1", "/dev/ttyS", "/dev/ttyUSB2", "/dev/ttyUSB10"]
    assert sorted(names, key=natural_key) == expected


def test_a_port_as_dict():
    port = PortInfo("/dev/ttyACM0", "Board", 0x2341, 0x43, None)
    assert port.as_dict() == {
        "device": "/dev/ttyACM0",
        "description": "Board",
        "vid": 0x2341,
        "pid": 0x43,
        "serial_number": None,
    }


def test_a_denied_port_names_its_group_and_the_command(tmp_path):
    device = tmp_path / "ttyFAKE"
    device.touch()
    group = grp.getgrgid(os.getgid() or 20)  # root may give it to dialout
    os.chown(device, -1, group.gr_gid)
    error = diagnosis.cannot_open(str(device), serial.SerialException(errno.EACCES, "denied"))
    assert f"may not open {device}, which belongs to the group {group.gr_name}" in str(error)
    assert f"sudo usermod -aG {group.gr_name} $USER" in error.hint
    assert "log out and in" in error.hint


def test_nobody_is_told_to_join_the_group_root():
    error = diagnosis.denied("/proc/version")
    assert "belongs to the group root" in str(error)
    assert "usermod" not in str(error)


def test_a_busy_port_is_one_whoever_says_so(tmp_path):
    device = tmp_path / "ttyFAKE"
    with device.open("w"):
        error = diagnosis.cannot_open(str(device), serial.SerialException(errno.EBUSY, "busy"))
    assert f"{device} is in use by this program (pid {os.getpid()})" in str(error)
    assert "in use by another program" in str(diagnosis.busy(str(tmp_path / "gone")))
