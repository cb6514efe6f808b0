/** What was dropped or chosen, as something that `load` takes: a zip's bytes, or files by name. */

/** The zip or the folder's files in a drop. Throws Error that says what to drop. */
export async function droppedSource(transfer) {
  // Entries have to be asked for before the first pause; they are empty afterwards.
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = [...transfer.files];
  if (entries.length === 1 && entries[0].isDirectory) {
    return await filesOf(entries[0]);
  }
  return chosenSource(files);
}

/** The same of files: one zip, or the files of one folder. */
export function chosenSource(files) {
  if (files.length === 1 && files[0].name.endsWith(".zip")) {
    return files[0];
  }
  if (files.some((file) => file.name === "manifest.json")) {
    return new Map(files.map((file) => [file.name, file]));
  }
  throw new Error("expected a bundle: one zip that treadle pack made, or its folder");
}

async function filesOf(directory) {
  const reader = directory.createReader();
  const files = new Map();
  // A reader gives a part of the entries at a time, and none at the end.
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) {
      return files;
    }
    for (const entry of entries.filter((one) => one.isFile)) {
      files.set(entry.name, await new Promise((resolve, reject) => entry.file(resolve, reject)));
    }
  }
}
