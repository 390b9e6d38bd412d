'use strict';
// What a program that was written for `geth --shh` asks of its node through the package web3-shh, as it is.
//
//   node transcript.js NODE          everything that one node answers by itself
//   node transcript.js FROM TO       a message from one node to another, which are connected
//
// NODE, FROM and TO are the URLs of JSON-RPC: http:// or ws://. Each answer is one line of JSON on standard output:
// {"call":"hasSymKey","args":["$sym"],"result":true} or {…,"refused":"Returned error: …"}. Names that a node makes up are
// written as the names of what holds them here, so that the lines of two nodes can be compared.
// The packages are found by NODE_PATH.

const Shh = require('web3-shh');

const PATIENCE_MS = 60000;
const TOPIC = '0x01020304';
const SHARED = '0x' + '07'.repeat(32);
const PRIVATE = '0x' + '09'.repeat(32);
const MIN_POW = 0.01;

/** One node, what it has named, and what is written down of it. */
class Peer {
  constructor(label, url) {
    this.label = label;
    this.shh = new Shh(url);
    this.names = new Map();
  }

  /** Replaces the placeholders in arguments by what they stand for. */
  fill(value) {
    if (typeof value === 'string') return this.names.get(value) ?? value;
    if (Array.isArray(value)) return value.map((each) => this.fill(each));
    if (value === null || typeof value !== 'object') return value;
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, this.fill(each)]));
  }

  /** Replaces what a node has named in its words by the placeholders. */
  hide(text) {
    return [...this.names].reduce((hidden, [name, value]) => hidden.replaceAll(value, name), text);
  }

  /** Calls a method and writes the answer down; `name` is what its result is called from now on. */
  async ask(method, args = [], name) {
    const line = { peer: this.label, call: method, args };
    try {
      const result = await within(method, this.shh[method](...args.map((each) => this.fill(each))));
      if (name) this.names.set(name, result);
      write({ ...line, result });
      return result;
    } catch (error) {
      write({ ...line, refused: this.hide(error.message), data: error.data });
      return undefined;
    }
  }

  /** Asks a filter until it has something. */
  async fetch(filter) {
    const end = Date.now() + PATIENCE_MS;
    while (Date.now() < end) {
      const messages = await this.shh.getFilterMessages(this.names.get(filter));
      if (messages.length > 0) {
        write({ peer: this.label, call: 'getFilterMessages', args: [filter], result: messages });
        return;
      }
      await new Promise((done) => setTimeout(done, 50));
    }
    throw new Error(`nothing for ${filter}`);
  }

  /** Subscribes; the second promise is the first message. A provider that cannot subscribe refuses by itself. */
  async subscribe(criteria) {
    const line = { peer: this.label, call: 'subscribe', args: ['messages', criteria] };
    let heard;
    const first = new Promise((resolve) => (heard = resolve));
    const subscribed = new Promise((resolve) => {
      const subscription = this.shh.subscribe('messages', this.fill(criteria), (error, result) => {
        if (error) resolve({ error });
        else heard(result);
      });
      if (typeof subscription.on === 'function') {
        subscription.on('connected', (id) => resolve({ id, subscription }));
        subscription.on('error', (error) => resolve({ error }));
      }
    });
    const { error, id, subscription } = await within('subscribe', subscribed);
    write(error ? { ...line, refused: error.message } : { ...line, result: id });
    return { subscription, first };
  }

  /** Ends a subscription and writes down what is said about it. */
  async end(subscription) {
    const said = new Promise((resolve) => subscription.unsubscribe((error, result) => resolve({ error, result })));
    const { error, result } = await within('unsubscribe', said);
    const line = { peer: this.label, call: 'unsubscribe', args: ['$subscription'] };
    write(error ? { ...line, refused: error.message } : { ...line, result });
  }

  close() {
    // Only a WebSocket stays open, and would keep this program running.
    this.shh.currentProvider.disconnect?.();
  }
}

function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer to ${what}`)), PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function write(line) {
  process.stdout.write(JSON.stringify(line) + '\n');
}

function message(change = {}) {
  const whole = {
    symKeyID: '$sym', ttl: 20, topic: TOPIC, payload: '0x1234', powTime: 10, powTarget: MIN_POW, ...change,
  };
  return Object.fromEntries(Object.entries(whole).filter(([, value]) => value !== undefined));
}

async function settings(node) {
  await node.ask('getVersion');
  await node.ask('getInfo');
  for (const size of [1048576, 10485761, -1, 'x', 1.5]) await node.ask('setMaxMessageSize', [size]);
  for (const pow of [MIN_POW, -1, 'x', null]) await node.ask('setMinPoW', [pow]);
  const key = 'ca634cae0d49acb401d8a4c6b6fe8c55b70d115bf400769cc1400f3258cd3138'
    + '7574077f301b421bc84df7266c44e9e6d569fc56be00812904767bf5ccd1fc7f';
  for (const url of ['x', `enode://${key}@127.0.0.1:30303`, `enode://${key.slice(2)}@127.0.0.1:1`, 5]) {
    await node.ask('markTrustedPeer', [url]);
  }
  // The number of arguments is checked by the package itself.
  await node.ask('getVersion', [1]);
  await node.ask('hasSymKey');
}

async function keys(node) {
  await node.ask('newKeyPair', [], '$pair');
  await node.ask('addPrivateKey', [PRIVATE], '$known');
  for (const pair of ['$pair', '$known', 'ab', '', 5, null]) {
    await node.ask('hasKeyPair', [pair]);
    await node.ask('getPublicKey', [pair]);
    await node.ask('getPrivateKey', [pair]);
  }
  for (const key of ['0x', '0x' + '00'.repeat(32), '0x' + 'ff'.repeat(32), '0x01', 'zz', 5]) {
    await node.ask('addPrivateKey', [key]);
    await node.ask('addSymKey', [key]);
  }
  await node.ask('newSymKey', [], '$random');
  await node.ask('addSymKey', [SHARED], '$sym');
  await node.ask('generateSymKeyFromPassword', ['test'], '$password');
  await node.ask('generateSymKeyFromPassword', [5]);
  for (const key of ['$random', '$sym', '$password', 'ab', '', 5, null]) {
    await node.ask('hasSymKey', [key]);
    await node.ask('getSymKey', [key]);
  }
  await node.ask('newKeyPair', [], '$short');
  for (const [method, key] of [['deleteKeyPair', '$short'], ['deleteSymKey', '$random']]) {
    for (const each of [key, key, 'ab', 5]) await node.ask(method, [each]);
  }
}

async function filters(node) {
  await node.ask('newMessageFilter', [{ symKeyID: '$sym', topics: [TOPIC] }], '$filter');
  await node.ask('getFilterMessages', ['$filter']);
  for (const criteria of [
    {}, 'x', 5, null, [], { symKeyID: '$sym', privateKeyID: '$pair' }, { symKeyID: 'x', topics: [TOPIC] }, { symKeyID: '$sym' },
    { privateKeyID: 'x' }, { privateKeyID: '$pair', sig: '0x04' }, { privateKeyID: '$pair', sig: 'zz' },
    { privateKeyID: '$pair', minPow: 'x' }, { privateKeyID: '$pair', minPow: 0.1 }, { privateKeyID: '$pair', topics: ['0x0102'] },
    { privateKeyID: '$pair', topics: TOPIC }, { privateKeyID: '$pair', allowP2P: 1 }, { privateKeyID: '$pair', allowP2P: true },
  ]) {
    await node.ask('newMessageFilter', [criteria]);
  }
  for (const filter of ['ab', '', 5]) {
    await node.ask('getFilterMessages', [filter]);
    await node.ask('deleteMessageFilter', [filter]);
  }
}

async function posts(node) {
  const known = await node.shh.getPublicKey(node.names.get('$known'));
  node.names.set('$public', known);
  await node.ask('post', [message({ sig: '$known' })]);
  await node.fetch('$filter');
  await node.ask('getFilterMessages', ['$filter']);
  await node.ask('newMessageFilter', [{ privateKeyID: '$known' }], '$own');
  await node.ask('post', [message({ symKeyID: undefined, pubKey: '$public', topic: undefined, padding: '0x0102' })]);
  await node.fetch('$own');
  for (const filter of ['$filter', '$filter', '$own']) await node.ask('deleteMessageFilter', [filter]);
  for (const change of [
    { pubKey: '$public' }, { symKeyID: undefined }, { symKeyID: 'x' }, { sig: 'x' }, { topic: undefined },
    { topic: '0x00000000' }, { topic: '0x0102' }, { topic: 5 }, { payload: 'zz' }, { payload: undefined }, { ttl: -1 }, { ttl: 'x' },
    { ttl: 0 }, { powTime: 0 }, { powTarget: MIN_POW / 2 }, { powTarget: 1e9, powTime: 1 }, { powTarget: 'x' },
    { padding: '0x0' }, { targetPeer: 'x' }, { symKeyID: undefined, pubKey: '0x04' },
  ]) {
    await node.ask('post', [message(change)]);
  }
  for (const whole of ['x', 5, null, []]) await node.ask('post', [whole]);
}

async function subscriptions(node) {
  const { subscription, first } = await node.subscribe({ symKeyID: '$sym', topics: [TOPIC] });
  if (subscription) {
    await node.ask('post', [message()]);
    write({ peer: node.label, heard: await within('the subscription', first) });
    await node.end(subscription);
  }
  for (const criteria of [{}, { symKeyID: '$sym' }, { privateKeyID: 'x' }, 'x']) await node.subscribe(criteria);
  for (const id of ['0x1', 'x', 5]) await node.ask('unsubscribe', [id]);
}

async function alone(url) {
  const node = new Peer('node', url);
  for (const part of [settings, keys, filters, posts, subscriptions]) await part(node);
  node.close();
}

async function across(urls) {
  const [from, to] = ['from', 'to'].map((label, at) => new Peer(label, urls[at]));
  for (const node of [from, to]) {
    await node.ask('addSymKey', [SHARED], '$sym');
    await node.ask('newKeyPair', [], '$pair');
    node.names.set('$public', await node.shh.getPublicKey(node.names.get('$pair')));
  }
  from.names.set('$reader', to.names.get('$public'));
  to.names.set('$writer', from.names.get('$public'));
  await to.ask('newMessageFilter', [{ symKeyID: '$sym', topics: [TOPIC], sig: '$writer' }], '$shared');
  await to.ask('newMessageFilter', [{ privateKeyID: '$pair' }], '$private');
  const { subscription, first } = await to.subscribe({ privateKeyID: '$pair' });
  await from.ask('post', [message({ sig: '$pair', payload: '0x6f6e65' })]);
  await to.fetch('$shared');
  await from.ask('post', [message({ symKeyID: undefined, pubKey: '$reader', payload: '0x74776f', padding: '0x0102' })]);
  await to.fetch('$private');
  if (subscription) {
    write({ peer: to.label, heard: await within('the subscription', first) });
    await to.end(subscription);
  }
  from.close();
  to.close();
}

const urls = process.argv.slice(2);
(urls.length === 2 ? across(urls) : alone(urls[0])).catch((error) => {
  console.error(error);
  process.exit(1);
});
