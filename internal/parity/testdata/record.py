#!/usr/bin/env python3
"""Write requests.txt: every request of every case, as replay.py puts it on the wire.

One line per request: the case's id (with #1, #2 ... for the requests that go before it), a tab, and the bytes as a
Go string literal. The requests are signed afresh, so each run gives other nonces, timestamps and signatures.
"""
import io, json, os, sys

sys.dont_write_bytecode = True
import replay

HERE = os.path.dirname(os.path.abspath(__file__))
wire = []


class Recorder:
    """A connection that keeps what is sent and answers with nothing to say."""
    def sendall(self, data): wire.append(data)
    def makefile(self, *_, **__): return io.BytesIO(b'HTTP/1.1 204 No Content\r\n\r\n')
    def close(self): pass


def quote(data):
    escapes = {0x22: '\\"', 0x5c: '\\\\', 0x0d: '\\r', 0x0a: '\\n', 0x09: '\\t'}
    return '"' + ''.join(escapes.get(b) or (chr(b) if 0x20 <= b < 0x7f else '\\x%02x' % b) for b in data) + '"'


def main():
    replay.socket.create_connection = lambda *_, **__: Recorder()
    replay.time.sleep = lambda _: None
    load = lambda name: json.load(open(os.path.join(HERE, name)))
    cases, fixtures = load('1.39/cases.json'), load('1.39/fixtures.json')
    with open(os.path.join(HERE, 'requests.txt'), 'w') as out:
        for case in cases:
            base = fixtures['variants'][case.get('variant', 'main')]['sign_base']
            del wire[:]
            replay.run_case(fixtures, case, None, base, base.split('://')[1], 'mediawiki')
            for i, data in enumerate(wire, 1):
                name = case['id'] if i == len(wire) else '%s#%d' % (case['id'], i)
                out.write('%s\t%s\n' % (name, quote(data)))


if __name__ == '__main__':
    main()
