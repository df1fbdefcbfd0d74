// Calls of the service eowriter.v1.Status, by the Connect protocol with JSON.

const key = 'eowriter-token';

// Refused is an answer that is an error.
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const setToken = (token) => sessionStorage.setItem(key, token);
export const hasToken = () => sessionStorage.getItem(key) !== null;

// call returns the answer. It throws Refused, or what fetch throws if there is no answer in time.
export async function call(method, request) {
  const headers = { 'Content-Type': 'application/json' };
  if (hasToken()) headers.Authorization = `Bearer ${sessionStorage.getItem(key)}`;
  const response = await fetch(`eowriter.v1.Status/${method}`, {
    method: 'POST', headers, body: JSON.stringify(request), cache: 'no-store', signal: AbortSignal.timeout(10_000),
  });
  if (response.ok) return response.json();
  const error = await response.json().catch(() => ({}));
  throw new Refused(response.status, error.message ?? `${response.status} ${response.statusText}`);
}
