"""A server for tests: it misbehaves as its paths say, lets clients in by NTLM (pyspnego, another implementation than
ours) or by basic authentication, and speaks as much WS-Management as a PowerShell script needs.

What it answers under /wsman is written after the examples of MS-WSMV and what pywinrm's tests show of real hosts; no real
host was asked. There is no PowerShell behind it: it knows the scripts by their first lines and keeps a few machines.

usage: server.py FOLDER [--tls CERTIFICATE KEY] [--auth ntlm|basic|none] [--proof]
FOLDER holds `users` (DOMAIN:USER:PASSWORD a line) and takes `log` (what was asked, in clear) and `state.json`. The port is
printed; the end of standard input ends it.
"""

import argparse
import base64
import hashlib
import http.server
import json
import os
import re
import ssl
import sys
import threading
import time
import traceback

import wsman

ARGUMENTS = argparse.ArgumentParser()
ARGUMENTS.add_argument("folder")
ARGUMENTS.add_argument("--tls", nargs=2)
ARGUMENTS.add_argument("--auth", default="none")
# Answers to challenges have to be bound to the certificate.
ARGUMENTS.add_argument("--proof", action="store_true")
OPTIONS = ARGUMENTS.parse_args()
USERS = os.path.join(OPTIONS.folder, "users")
os.environ["NTLM_USER_FILE"] = USERS
PROTOCOL = "application/HTTP-SPNEGO-session-encrypted"
LOCK = threading.Lock()
HOST = wsman.Host(OPTIONS.folder)


def bindings():
    """Of our certificate, whose signature is by SHA-256 (RFC 5929)."""
    import spnego.channel_bindings

    der = ssl.PEM_cert_to_DER_cert(open(OPTIONS.tls[0]).read())
    data = b"tls-server-end-point:" + hashlib.sha256(der).digest()
    return spnego.channel_bindings.GssChannelBindings(application_data=data)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.context = None

    def log_message(self, *_):
        pass

    def note(self, **what):
        with LOCK, open(os.path.join(OPTIONS.folder, "log"), "a") as log:
            log.write(json.dumps(what) + "\n")

    def say(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, *ways):
        self.say(401, headers=[("WWW-Authenticate", way) for way in ways])

    def let_in(self):
        """Whether the client is known; answers it where it is not."""
        said = self.headers.get("Authorization", "")
        if OPTIONS.auth == "none":
            return True
        if OPTIONS.auth == "basic":
            users = [line.split(":") for line in open(USERS).read().split()]
            known = [base64.b64encode(f"{user}:{password}".encode()).decode() for _, user, password in users]
            if said in [f"Basic {one}" for one in known]:
                return True
            self.refuse('Basic realm="WSMAN"')
            return False
        import spnego

        if not said:
            if self.context is not None and self.context.complete:
                return True
            self.refuse("Negotiate", "Kerberos")
            return False
        scheme, token = said.split(" ", 1)
        if scheme != "Negotiate":
            self.refuse("Negotiate")
            return False
        try:
            if self.context is None or self.context.complete:
                bound = bindings() if OPTIONS.tls and OPTIONS.proof else None
                self.context = spnego.server(protocol="ntlm", channel_bindings=bound)
            answer = self.context.step(base64.b64decode(token))
        except Exception as error:
            self.note(refused=str(error))
            self.context = None
            self.refuse("Negotiate")
            return False
        if not self.context.complete:
            self.refuse("Negotiate " + base64.b64encode(answer).decode())
            return False
        self.note(let_in=self.context.client_principal)
        return True

    def unwrapped(self, body):
        """The body in clear; none where it should have been sealed."""
        kind = self.headers.get("Content-Type", "")
        if not kind.startswith("multipart/encrypted"):
            return body if OPTIONS.tls or OPTIONS.auth != "ntlm" else None
        head = re.search(rb"OriginalContent: type=(.*?);Length=(\d+)", body)
        mark = b"Content-Type: application/octet-stream\r\n"
        rest = body[body.index(mark) + len(mark) :]
        size = int.from_bytes(rest[:4], "little")
        header, sealed = rest[4 : 4 + size], rest[4 + size : -len(b"--Encrypted Boundary--\r\n")]
        clear = self.context.unwrap_winrm(header, sealed)
        assert len(clear) == int(head.group(2)), "the length is not the original's"
        return clear

    def wrapped(self, body):
        """The body as this connection has it, and its content type."""
        if OPTIONS.tls or OPTIONS.auth != "ntlm":
            return body, "application/soap+xml;charset=UTF-8"
        sealed = self.context.wrap_winrm(body)
        text = (
            "--Encrypted Boundary\r\nContent-Type: " + PROTOCOL + "\r\nOriginalContent: "
            f"type=application/soap+xml;charset=UTF-8;Length={len(body)}\r\n"
            "--Encrypted Boundary\r\nContent-Type: application/octet-stream\r\n"
        ).encode()
        text += len(sealed.header).to_bytes(4, "little") + sealed.header + sealed.data + b"--Encrypted Boundary--\r\n"
        return text, f'multipart/encrypted;protocol="{PROTOCOL}";boundary="Encrypted Boundary"'

    def wsman(self, body):
        # Let in without a message, where the connection is not encrypted.
        if not body:
            return self.say(200)
        clear = self.unwrapped(body)
        if clear is None:
            return self.say(400)
        self.note(wsman=clear.decode())
        status, answer = HOST.answer(clear)
        sealed, kind = self.wrapped(answer)
        self.say(status, sealed, [("Content-Type", kind)])

    def any(self):
        length = int(self.headers.get("Content-Length", 0))
        if self.path.startswith("/put"):
            return self.put(length)
        body = self.rfile.read(length)
        if not self.let_in():
            return None
        if self.path == "/wsman":
            return self.wsman(body)
        self.note(method=self.command, path=self.path, headers=dict(self.headers), body=body.decode("latin1"))
        misbehave = getattr(self, "at_" + self.path[1:].split("?")[0].replace("-", "_"), None)
        if misbehave:
            return misbehave(body)
        return self.say(200, body, [("X-Seen", self.command), ("Set-Cookie", "a=b"), ("Set-Cookie", "c=d")])

    do_GET = do_POST = do_PUT = do_DELETE = any

    def put(self, length):
        digest, seen = hashlib.sha256(), 0
        if self.path == "/put-refused":
            self.say(507)
            self.close_connection = True
            return
        while seen < length:
            piece = self.rfile.read(min(1 << 20, length - seen))
            if not piece:
                self.note(cut=seen)
                return
            digest.update(piece)
            seen += len(piece)
            if self.path == "/put-slow":
                time.sleep(0.02)
        self.note(put=seen, sha256=digest.hexdigest(), headers=dict(self.headers))
        self.say(201)

    # Misbehaviour, by path.

    def raw(self, text):
        self.wfile.write(text if isinstance(text, bytes) else text.encode())
        self.close_connection = True

    def at_redirect(self, _):
        self.say(302, headers=[("Location", "https://other.example/")])

    def at_slow(self, _):
        time.sleep(30)

    def at_drip(self, _):
        self.send_response(200)
        self.end_headers()
        for _ in range(300):
            self.wfile.write(b"x")
            time.sleep(0.1)

    def at_huge(self, _):
        self.say(200, b"x" * (17 << 20))

    def at_endless(self, _):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            self.wfile.write(b"100000\r\n" + b"x" * (1 << 20) + b"\r\n")

    def at_chunked(self, _):
        self.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nT: x\r\n\r\n")

    def at_interim(self, _):
        self.raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def at_close(self, _):
        self.raw("HTTP/1.0 200 OK\r\n\r\nto the end")

    def at_cut(self, _):
        self.raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")

    def at_both(self, _):
        self.raw("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")

    def at_two(self, _):
        self.raw("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")

    def at_minus(self, _):
        self.raw("HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc")

    def at_switch(self, _):
        self.raw("HTTP/1.1 101 Switching Protocols\r\n\r\n")

    def at_interims(self, _):
        self.raw("HTTP/1.1 100 Continue\r\n\r\n" * 1000)

    def at_nonsense(self, _):
        self.raw(b"\x16\x03\x01 nonsense\r\n\r\n")

    def at_head(self, _):
        self.raw("HTTP/1.1 200 OK\r\n" + "A: " + "x" * (1 << 20) + "\r\n\r\n")

    def at_heads(self, _):
        self.raw("HTTP/1.1 200 OK\r\n" + "A: b\r\n" * 1000 + "\r\n\r\n")

    def at_chunk(self, _):
        self.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc")

    def at_longer(self, _):
        self.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n")

    def at_once(self, _):
        """The connection ends after its first answer, unannounced."""
        self.say(200, b"once")
        self.close_connection = True


SERVER = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
SERVER.daemon_threads = True
if OPTIONS.tls:
    CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CONTEXT.load_cert_chain(*OPTIONS.tls)
    SERVER.socket = CONTEXT.wrap_socket(SERVER.socket, server_side=True, do_handshake_on_connect=False)
SERVER.handle_error = lambda *_: open(os.path.join(OPTIONS.folder, "errors"), "a").write(traceback.format_exc())
print(SERVER.server_address[1], flush=True)
threading.Thread(target=SERVER.serve_forever, daemon=True).start()
sys.stdin.read()
