// Asks a running simulator as the official JavaScript clients do, and prints what each of `asks` got as JSON.
// The argument is the simulator's URL.
import { createMoonshotAI } from "@ai-sdk/moonshotai";
import { createOpenRouter } from "@openrouter/ai-sdk-provider";
import { generateObject, generateText, streamText, stepCountIs, tool } from "ai";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

globalThis.AI_SDK_LOG_WARNINGS = false;
const url = process.argv[2];
const apiKey = "any";
const openai = new OpenAI({ baseURL: `${url}/openrouter/api/v1`, apiKey, maxRetries: 0 });
const kimi = createMoonshotAI({ baseURL: `${url}/moonshot/v1`, apiKey })("kimi-k2.6");
const routed = createOpenRouter({ baseURL: `${url}/openrouter/api/v1`, apiKey })("moonshotai/kimi-k2.6");
const Flight = z.object({ origin: z.string(), destination: z.string() });
const prompt = "I fly from Berlin to Madrid.";
const question = "What is the weather in Oslo?";
const weather = tool({
  description: "Get the current weather for a city",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `18 degrees in ${city}`,
});

// A question, the call of a tool, its result, and the answer in words.
async function agent(model) {
  const done = await generateText({ model, prompt: question, tools: { get_weather: weather }, stopWhen: stepCountIs(3) });
  return { text: done.text, calls: done.steps.flatMap((step) => step.toolCalls.map((call) => call.input)) };
}

async function streamed(model) {
  const stream = streamText({ model, prompt: question, tools: { get_weather: weather }, stopWhen: stepCountIs(3) });
  return { text: await stream.text, finish: await stream.finishReason };
}

async function structured(model) {
  return (await generateObject({ model, schema: Flight, prompt })).object;
}

const asks = {
  openai_parse: async () => {
    const response_format = zodResponseFormat(Flight, "flight");
    const messages = [{ role: "user", content: prompt }];
    return (await openai.chat.completions.parse({ model: "moonshotai/kimi-k3", messages, response_format })).choices[0].message.parsed;
  },
  openai_runs_tools: async () => {
    const runner = openai.chat.completions.runTools({
      model: "moonshotai/kimi-k2.6",
      messages: [{ role: "user", content: question }],
      tools: [
        {
          type: "function",
          function: {
            name: "get_weather",
            description: "Get the current weather for a city",
            parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
            parse: JSON.parse,
            function: ({ city }) => `18 degrees in ${city}`,
          },
        },
      ],
    });
    return { text: await runner.finalContent() };
  },
  moonshot_agent: () => agent(kimi),
  moonshot_streamed: () => streamed(kimi),
  moonshot_structured: () => structured(kimi),
  openrouter_agent: () => agent(routed),
  openrouter_streamed: () => streamed(routed),
  openrouter_structured: () => structured(routed),
};

const got = {};
for (const [name, ask] of Object.entries(asks)) got[name] = await ask();
console.log(JSON.stringify(got));
