// BullMQ for Node: `node bullmq.cjs work`, and `node bullmq.cjs produce ACTION …` as bench.produce has it.
const fs = require("node:fs");
const IORedis = require("ioredis");
const { Queue, Worker } = require("bullmq");

const QUEUE = "bench";
const NAP = 50;
const BATCH = 500;
const COROUTINES = 50;
const WARM_UP = 20;

// The clock that Python calls monotonic.
const monotonic = () => Number(process.hrtime.bigint()) / 1e9;
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

const jobs = {
  noop: async () => 1,
  nap: async () => {
    await sleep(NAP / 1000);
    return 1;
  },
  stamp: async ({ sent }) => {
    fs.appendFileSync(process.env.BENCH_STAMPS, `${monotonic() - sent}\n`);
    return 1;
  },
};

function work() {
  const connection = new IORedis.Redis(process.env.BENCH_REDIS_URL, { maxRetriesPerRequest: null });
  const concurrency = Number(process.env.BENCH_CONCURRENCY);
  const worker = new Worker(QUEUE, (job) => jobs[job.name](job.data), { connection, concurrency });
  process.on("SIGTERM", async () => {
    await worker.close();
    process.exit(0);
  });
}

const enqueueMany = (queue, name, count) => queue.addBulk(Array.from({ length: count }, () => ({ name, data: {} })));

async function fill(queue, job, count) {
  for (let left = Number(count); left > 0; left -= BATCH) await enqueueMany(queue, job, Math.min(BATCH, left));
}

async function timeSingle(queue, deadline) {
  let done = 0;
  for (; monotonic() < deadline; done++) await queue.add("noop", {});
  return done;
}

async function timeGathered(queue, deadline) {
  const counts = await Promise.all(Array.from({ length: COROUTINES }, () => timeSingle(queue, deadline)));
  return counts.reduce((sum, count) => sum + count, 0);
}

async function timeBatch(queue, deadline) {
  let done = 0;
  for (; monotonic() < deadline; done += BATCH) await enqueueMany(queue, "noop", BATCH);
  return done;
}

const modes = { single: timeSingle, gathered: timeGathered, batch: timeBatch };

async function time(queue, mode, seconds) {
  for (let i = 0; i < WARM_UP; i++) await queue.add("noop", {});
  const began = monotonic();
  const done = await modes[mode](queue, began + Number(seconds));
  console.log(JSON.stringify({ jobs: done, seconds: monotonic() - began }));
}

async function probe(queue, count, interval) {
  for (let i = 0; i < Number(count); i++) {
    await sleep(Number(interval));
    await queue.add("stamp", { sent: monotonic() });
  }
}

async function produce(action, ...rest) {
  const connection = new IORedis.Redis(process.env.BENCH_REDIS_URL);
  const queue = new Queue(QUEUE, { connection });
  await { fill, time, probe }[action](queue, ...rest);
  await queue.close();
  connection.disconnect();
}

const [command, ...rest] = process.argv.slice(2);
({ work, produce })[command](...rest);
