// What Gradio gives to a panel's script, and what the panels of a page share.

declare const element: HTMLElement;
declare const props: any;
declare const server: Record<string, (request: unknown) => Promise<any>>;
declare function trigger(event: string): void;
declare function watch(prop: string, changed: () => void): void;

interface Window {
  domainExplorer: any;
}
