#!/usr/bin/env python3
"""Write the rows of a dump as statements that MySQL and SQLite both read: rows.py DUMP > RELEASE/DATABASE.sql

The definitions of tables, and the columns and tables that no decision reads, are left out. A text with a backslash, a
control character or a byte that is not UTF-8 becomes a hexadecimal literal, because the two read escapes differently.
"""
import re, sys

TABLES = ('oauth_registered_consumer', 'oauth_accepted_consumer', 'oauth2_access_tokens', 'user', 'user_groups', 'ipblocks',
          'block', 'block_target', 'globaluser', 'localuser', 'localnames', 'global_user_groups')
UNREAD = re.compile(rb"""user_(?!id|name)|bt_range|bt_ip_hex|bl_(by_actor|reason|anon_only|create|enable|block_email|allow)|
    ipb_(?!id|address|user|timestamp|auto|expiry|deleted|parent_block_id|sitewide)|gu_(?!id|name|home_db|locked|hidden)""", re.X)
INSERT = re.compile(rb'INSERT INTO `(\w+)` \(([^)]*)\) VALUES\s+')
VALUE = re.compile(rb"\s*('(?:[^'\\]|\\.|'')*'|[^',()\s]+)\s*([,)])", re.S)
ESCAPES = {b'n': b'\n', b'r': b'\r', b't': b'\t', b'0': b'\0', b'Z': b'\x1a', b'b': b'\b'}


def literal(value):
    if not value.startswith(b"'"):
        return value
    text = re.sub(rb"\\(.)|''", lambda m: ESCAPES.get(m[1], m[1]) if m[1] else b"'", value[1:-1], flags=re.S)
    plain = b'\\' not in text and not re.search(rb'[\0-\x09\x0b-\x1f]', text)
    try: text.decode('utf-8')
    except UnicodeDecodeError: plain = False
    return b"'" + text.replace(b"'", b"''") + b"'" if plain else b"X'" + text.hex().encode() + b"'"


def main():
    dump = open(sys.argv[1], 'rb').read()
    for insert in INSERT.finditer(dump):
        table, columns = insert[1], [c.strip(b' `') for c in insert[2].split(b',')]
        if table.decode() not in TABLES: continue
        kept = [i for i, c in enumerate(columns) if not UNREAD.match(c)]
        rows, at = [], insert.end()
        while dump[at:at + 1] == b'(':
            row, more, at = [], b',', at + 1
            while more == b',':
                m = VALUE.match(dump, at)
                value, more, at = m[1], m[2], m.end()
                row.append(literal(value))
            rows.append(b'(' + b', '.join(row[i] for i in kept) + b')')
            if dump[at:at + 1] == b';': break
            at = re.compile(rb',\s*').match(dump, at).end()
        sys.stdout.buffer.write(b'INSERT INTO %s (%s) VALUES\n%s;\n' % (table, b', '.join(columns[i] for i in kept), b',\n'.join(rows)))


main()
