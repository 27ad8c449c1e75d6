"""Asks a name server with dnspython: see README.md.

Reads `{"address", "port", "questions": [{"name", "type", "tcp", "payload"}]}`, payload null for no EDNS, and prints
a list of `rcode`, `flags`, `answer` and `authority` (sorted, as zone files write records), `payload` of the reply's
EDNS or null, `length` in octets.
"""

import json
import sys

import dns.message
import dns.query


def records(section):
    return sorted(
        f"{rrset.name} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {rdata}" for rrset in section for rdata in rrset
    )


def ask(address, port, question):
    use_edns = question["payload"] is not None
    query = dns.message.make_query(
        question["name"], question["type"], use_edns=use_edns, payload=question["payload"] or 0
    )
    send = dns.query.tcp if question["tcp"] else dns.query.udp
    # Checks id, question and where it comes from, and raises what it does not like.
    reply = send(query, address, port=port, timeout=5)
    return {
        "rcode": dns.rcode.to_text(reply.rcode()),
        "flags": dns.flags.to_text(reply.flags),
        "answer": records(reply.answer),
        "authority": records(reply.authority),
        "payload": reply.payload if reply.edns >= 0 else None,
        "length": len(reply.wire),
    }


asked = json.load(sys.stdin)
json.dump([ask(asked["address"], asked["port"], question) for question in asked["questions"]], sys.stdout)
