# SPDX-License-Identifier: MIT
"""Reads the ClientHello out of QUIC Initial packets, as anybody on the way can (RFC 9001, 5.2).

AES comes from the openssl program: the keys of Initial packets are derived from what is in clear.
"""
import hashlib
import hmac
import subprocess

SALT = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")


def _expand(secret, label, size):
    label = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0"
    return hmac.new(secret, info + b"\1", hashlib.sha256).digest()[:size]


def _aes(mode, key, data, iv=None):
    args = ["openssl", "enc", "-" + mode, "-nopad", "-K", key.hex()]
    if iv:
        args += ["-iv", iv.hex()]
    return subprocess.run(args, input=data, check=True, capture_output=True).stdout


def _varint(data, at):
    size = 1 << (data[at] >> 6)
    return int.from_bytes(data[at:at + size], "big") & ((1 << (8 * size - 2)) - 1), at + size


def packets(datagram):
    """(destination CID, header offset of the packet number, end) of each Initial in a datagram."""
    at = 0
    while at < len(datagram) and datagram[at] & 0x80:
        start, kind = at, datagram[at] >> 4 & 3
        at += 5
        dcid = datagram[at + 1:at + 1 + datagram[at]]
        at += 1 + datagram[at]
        scid = datagram[at + 1:at + 1 + datagram[at]]
        at += 1 + datagram[at]
        if kind == 0:
            token, at = _varint(datagram, at)
            at += token
        size, at = _varint(datagram, at)
        if kind == 0:
            yield dcid, scid, datagram[start:at + size], at - start
        at += size


def crypto_frames(dcid, packet, number_at):
    """(offset, data) of the CRYPTO frames of a client's Initial packet."""
    secret = hmac.new(SALT, dcid, hashlib.sha256).digest()
    client = _expand(secret, b"client in", 32)
    key, iv, mask_key = (_expand(client, b"quic key", 16), _expand(client, b"quic iv", 12),
                         _expand(client, b"quic hp", 16))
    mask = _aes("aes-128-ecb", mask_key, packet[number_at + 4:number_at + 20])
    length = ((packet[0] ^ mask[0] & 0x0f) & 3) + 1
    number = int.from_bytes(bytes(a ^ b for a, b in zip(packet[number_at:number_at + length],
                                                         mask[1:])), "big")
    nonce = bytes(a ^ b for a, b in zip(iv, number.to_bytes(12, "big")))
    # GCM is CTR with the counter beginning at 2; the tag is not checked
    plain = _aes("aes-128-ctr", key, packet[number_at + length:-16], nonce + b"\0\0\0\2")
    at = 0
    while at < len(plain):
        kind = plain[at]
        at += 1
        if kind in (0, 1):
            continue
        if kind == 6:
            offset, at = _varint(plain, at)
            size, at = _varint(plain, at)
            yield offset, plain[at:at + size]
            at += size
        else:
            return


def hello_name(hello):
    """The host name in the server_name extension of a ClientHello, or None."""
    at = 4 + 2 + 32
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at:at + 2], "big")
    at += 1 + hello[at]
    end = at + 2 + int.from_bytes(hello[at:at + 2], "big")
    at += 2
    while at < end:
        kind, size = hello[at:at + 2], int.from_bytes(hello[at + 2:at + 4], "big")
        if kind == b"\0\0":
            length = int.from_bytes(hello[at + 7:at + 9], "big")
            return hello[at + 9:at + 9 + length].decode()
        at += 4 + size
    return None


def server_names(sock):
    """Yields the SNI of each new connection attempt that arrives on a UDP socket."""
    first_dcid, pieces, done = {}, {}, set()
    while True:
        datagram, _ = sock.recvfrom(65536)
        for dcid, scid, packet, number_at in packets(datagram):
            dcid = first_dcid.setdefault(scid, dcid)
            if scid in done:
                continue
            crypto = pieces.setdefault(scid, {})
            crypto.update(crypto_frames(dcid, packet, number_at))
            whole = b""
            while len(whole) in crypto and crypto[len(whole)]:
                whole += crypto[len(whole)]
            if len(whole) >= 4 and len(whole) >= 4 + int.from_bytes(whole[1:4], "big"):
                done.add(scid)
                yield hello_name(whole)
