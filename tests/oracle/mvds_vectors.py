"""Writes vectors/mvds/*.json from the definitions alone: hashlib, and a protobuf writer of a few lines.

Usage: python3 tests/oracle/mvds_vectors.py
"""
import hashlib
import json
import pathlib
import struct

FOLDER = pathlib.Path(__file__).resolve().parents[2] / 'vectors' / 'mvds'
G='4c2443aa0d75c88675b6c55848c36094e1a15696db697c92c8b2629ebdca7de6'
g=bytes.fromhex(G)
def mid(group,ts,body): return hashlib.sha256(b'MESSAGE_ID'+group+struct.pack('<q',ts)+body).digest()
def vi(n):
    n&=(1<<64)-1; out=b''
    while True:
        b=n&0x7f; n>>=7
        if n: out+=bytes([b|0x80])
        else: return out+bytes([b])
def key(n,w): return vi(n<<3|w)
def ln(n,b): return key(n,2)+vi(len(b))+b
F={'5000':([5001,5002,5003,5004],[6001,6002,6003,6004]),'compact':([1,2,3,4],[1,2,3,4])}
def msg(d,group=g,ts=1587550000,body=b'hello',meta=None):
    f=F[d][1]; o=b''
    if group: o+=ln(f[0],group)
    if ts: o+=key(f[1],0)+vi(ts)
    if body: o+=ln(f[2],body)
    if meta is not None: o+=ln(f[3],meta)
    return o
def pay(d,acks=(),offers=(),requests=(),messages=()):
    f=F[d][0]; o=b''
    for n,l in zip(f,(acks,offers,requests,messages)):
        for e in l: o+=ln(n,e)
    return o
NOTES={
 'Known':('A value that circulates in other implementations.','none'),
 'Sign':('Time is hashed as eight bytes of two\'s complement, least significant first.','An implementation that sees this wrong does not recognise acknowledgements.'),
 'Split':('Without length prefixes another split of the same bytes has the same hash; only the length of the group id tells them apart.','Two different messages with one id.'),
 'Dialect':('The two dialects differ in field numbers only.','An application message is taken for a payload.'),
 'Sniff':('On a path of Whisper bytes are a payload only if they parse and some list has an entry.','An application message is swallowed.'),
 'Drop':('An entry of a wrong length is left out and the rest counts.','One bad entry costs the others.'),
 'Bound':('Lists have at most 1,000 entries and a message 64 parents; the longest body is an input.','Memory without bound.'),
 'Wire':('Protobuf itself: truncation, wire types, lengths.','Bytes are read that are not there.'),
 'Order':('Any order and unknown fields are taken, the last of a repeated scalar wins.','A peer of another version is not understood.'),
}
def file(name,kind,tests):
    flags=sorted({f for t in tests for f in t['flags']})
    for i,t in enumerate(tests,1): t['id']=i
    ts=[{k:t[k] for k in ('id','comment','flags','input','result','output','reason') if k in t} for t in tests]
    bad=sum(t['result']=='invalid' for t in ts)
    assert bad*10>=len(ts)*6,(bad,len(ts))
    d={'schema':'ferry-vectors/1','kind':kind,'numberOfTests':len(ts),'notes':{f:{'description':NOTES[f][0],'effect':NOTES[f][1]} for f in flags},'tests':ts}
    (FOLDER/name).write_text(json.dumps(d,indent=1,ensure_ascii=False)+'\n')
    print(name,len(ts),bad)
# ids
T=[]
def idv(c,flags,group,ts,body): T.append(dict(comment=c,flags=flags,input=dict(group_id=group.hex(),timestamp=ts,body=body.hex()),result='valid',output=dict(id=mid(group,ts,body).hex())))
def idb(c,flags,group,ts,body,reason): T.append(dict(comment=c,flags=flags,input=dict(group_id=group.hex(),timestamp=ts,body=body.hex()),result='invalid',reason=reason))
idv('the known message of a 1:1 chat',['Known'],g,1587550000,b'hello')
assert T[0]['output']['id'].startswith('8d99b844')
env=bytes.fromhex('f84e845ea0178a5a8459cbac69b840')+bytes(range(64))+b'\x31'
idv('an envelope delivered by a gateway: the body is an EnvelopeItem',['Known'],g,1587550000,ln(1,env))
assert T[1]['output']['id'].startswith('f5b555c6')
idv('time -1',['Sign'],g,-1,b'hello')
idv('time 0 and an empty body',['Sign'],g,0,b'')
idv('the smallest time',['Sign'],g,-2**63,b'x')
idv('the largest time',['Sign'],g,2**63-1,b'x')
idv('a body of 1,000 bytes, a group of zeros',[],bytes(32),1,bytes(i%256 for i in range(1000)))
for n in (0,1,16,24,28,31,33,40,64,65): idb(f'a group id of {n} bytes',['Split'],(g*3)[:n],1587550000,b'hello','group_id_length')
idb('the known message split eight bytes earlier: the same bytes are hashed',['Split'],g[:24],struct.unpack('<q',g[24:])[0],struct.pack('<q',1587550000)+b'hello','group_id_length')
idb('split four bytes later',['Split'],g+struct.pack('<q',1587550000)[:4],struct.unpack('<q',b'\0\0\0\0hell')[0],b'o','group_id_length')
for ts in (2**63,-2**63-1,2**64,2**64-1): idb(f'time {ts} does not fit 64 signed bits',['Sign'],g,ts,b'hello','timestamp_range')
file('id.json','mvds-id',T)
# payloads
T=[]
ids=lambda l:[x.hex() for x in l]
def rec(acks=(),offers=(),requests=(),messages=(),dropped=0):
    return dict(records=dict(acks=ids(acks),offers=ids(offers),requests=ids(requests),messages=list(messages)),dropped=dropped)
def m(group=g,ts=1587550000,body=b'hello',metadata=None):
    return dict(id=mid(group,ts,body).hex(),group_id=group.hex(),timestamp=ts,body=body.hex(),metadata=metadata)
def inp(d,b,bm=None):
    i=dict(dialect=d,bytes=b.hex())
    if bm is not None: i['body_len_max']=bm
    return i
def v(c,flags,d,b,out,bm=None): T.append(dict(comment=c,flags=flags,input=inp(d,b,bm),result='valid',output=out))
def bad(c,flags,d,b,reason,bm=None): T.append(dict(comment=c,flags=flags,input=inp(d,b,bm),result='invalid',reason=reason))
K=mid(g,1587550000,b'hello'); A=bytes([1])*32; B=bytes([2])*32; C=bytes([3])*32
for d in F:
    p=pay(d,messages=[msg(d)])
    v('the known message',['Known'],d,p,rec(messages=[m()]))
    v('the ack of the known message',['Known'],d,pay(d,acks=[K]),rec(acks=[K]))
    v('all four lists',[],d,pay(d,[A,B],[C],[K,A],[msg(d,body=b'1'),msg(d,body=b'2')]),rec([A,B],[C],[K,A],[m(body=b'1'),m(body=b'2')]))
    f=F[d][1]; l=F[d][0]
    v('fields in another order, the last time wins, unknown fields',['Order'],d,key(7000,0)+vi(5)+ln(l[3],ln(f[2],b'x')+key(f[1],0)+vi(1)+ln(7001,b'?')+key(f[1],0)+vi(1587550000)+ln(f[2],b'hello')+ln(f[0],g))+ln(l[0],A),rec(acks=[A],messages=[m()]))
    v('ids of 31, 33 and 0 bytes beside a good one',['Drop'],d,pay(d,acks=[A[:31],A,A+b'\1',b'']),rec(acks=[A],dropped=3))
    v('a group id of 24 bytes beside a good message',['Drop'],d,pay(d,messages=[msg(d,group=g[:24]),msg(d)]),rec(messages=[m()],dropped=1))
    v('a message with time -1',['Sign'],d,pay(d,messages=[msg(d,ts=-1)]),rec(messages=[m(ts=-1)]))
    v('metadata: two parents, ephemeral',[],d,pay(d,messages=[msg(d,meta=ln(1,A)+ln(1,B)+key(2,0)+b'\1')]),rec(messages=[m(metadata=dict(parents=ids([A,B]),ephemeral=True))]))
    v('a body of exactly the longest length',['Bound'],d,p,rec(messages=[m()]),5)
v('only a useless entry: still a payload',['Sniff','Drop'],'5000',pay('5000',acks=[b'\1']),rec(dropped=1))
wrapper=ln(1,bytes(65))+ln(2,b'text')+key(3,0)+b'\1'
bad('an application message with the fields 1, 2, 3',['Sniff'],'5000',wrapper,'not_mvds')
bad('a payload of the compact dialect',['Dialect','Sniff'],'5000',pay('compact',messages=[msg('compact')]),'not_mvds')
bad('an ack of the compact dialect',['Dialect','Sniff'],'5000',pay('compact',acks=[K]),'not_mvds')
bad('a payload of the 5000 dialect',['Dialect'],'compact',pay('5000',messages=[msg('5000')]),'not_mvds')
for d in F:
    bad('nothing at all: the echo of old clients',['Sniff'],d,b'','not_mvds')
    bad('unknown fields only',['Sniff'],d,key(9000,0)+b'\7'+ln(9001,b'x'),'not_mvds')
    p=pay(d,messages=[msg(d)])
    for n in (1,2,3,4,len(p)//2,len(p)-1): bad(f'the known payload cut to {n} bytes',['Wire'],d,p[:n],'malformed')
    l=F[d][0]; f=F[d][1]
    bad('an ack list as a number',['Wire'],d,key(l[0],0)+b'\1','malformed')
    bad('a message list as 64 fixed bits',['Wire'],d,key(l[3],1)+bytes(8),'malformed')
    bad('a length far beyond the end',['Wire'],d,key(l[0],2)+vi(2**31)+A,'malformed')
    bad('a length of ten bytes of ff',['Wire'],d,key(l[0],2)+b'\xff'*10+A,'malformed')
    bad('field number 0',['Wire'],d,b'\x02\x00'+p,'malformed')
    bad('wire type 7',['Wire'],d,vi(l[0]<<3|7)+p,'malformed')
    bad('a group that does not end',['Wire'],d,key(900,3)+p,'malformed')
    bad('the end of a group that did not begin',['Wire'],d,key(900,4),'malformed')
    bad('a message whose group id is a number',['Wire'],d,ln(l[3],key(f[0],0)+b'\1'),'malformed')
    bad('a message whose time is bytes',['Wire'],d,ln(l[3],ln(f[1],b'\1')+ln(f[0],g)),'malformed')
    bad('a message whose body goes beyond it',['Wire'],d,ln(l[3],ln(f[0],g)+key(f[2],2)+b'\x09hello'),'malformed')
    bad('a message of three bytes of ff',['Wire'],d,ln(l[3],b'\xff\xff\xff'),'malformed')
    bad('metadata that are a number',['Wire'],d,ln(l[3],ln(f[0],g)+key(f[3],0)+b'\1'),'malformed')
    bad('1,001 empty acks',['Bound'],d,ln(l[0],b'')*1001,'list_too_long')
    bad('1,001 empty messages',['Bound'],d,ln(l[3],b'')*1001,'list_too_long')
    bad('65 empty parents',['Bound'],d,pay(d,messages=[msg(d,meta=ln(1,b'')*65)]),'too_many_parents')
    bad('a body one byte too long',['Bound'],d,p,'body_too_long',4)
file('payload.json','mvds-payload',T)
