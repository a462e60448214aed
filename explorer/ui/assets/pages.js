// Pages of other generators lie below /m/NAME/ of the first page, wherever a proxy puts that.

const root = location.pathname.replace(/\/m\/[^/]+(\/.*)?$/, "/").replace(/\/?$/, "/");

export const onFirst = !location.pathname.startsWith(`${root}m/`);

/** The address of a generator's page; `first` is the name of the one that the first page shows. */
export const pageOf = (name, first) => (name === first ? root : `${root}m/${encodeURIComponent(name)}/`);
