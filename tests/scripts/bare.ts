/** A page of Markdown without what the formatter of tables adds. */
export const bare = (page: string): string => page.replaceAll(/ *\| */g, "|").replaceAll(/-{3,}/g, "---");
