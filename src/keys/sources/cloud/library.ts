// Loads the official client of a cloud, where a secret names the cloud and only then.

import { errorCode } from '../../../config/values/file-errors.ts'
import { SourceFault } from '../source.ts'

/** The versions that are asked for, as in `peerDependencies`. */
const versions: Readonly<Record<string, string>> = {
  '@aws-sdk/client-secrets-manager': '3',
  '@google-cloud/secret-manager': '6',
  '@azure/keyvault-secrets': '4',
  '@azure/identity': '4',
}

/** What `load` imports. Throws a fault that says how to install the packages where one is missing. */
export async function loadLibrary<Library>(
  place: string,
  packages: readonly string[],
  load: () => Promise<Library>,
): Promise<Library> {
  try {
    return await load()
  } catch (error) {
    if (errorCode(error) !== 'ERR_MODULE_NOT_FOUND')
      throw new SourceFault(
        'wrong',
        `${place} cannot be asked: ${packages.join(' or ')} is installed and cannot be loaded`,
      )
    const install = packages.map((name) => `${name}@${versions[name] ?? 'latest'}`).join(' ')
    throw new SourceFault(
      'wrong',
      `${place} cannot be asked: its client is not installed. Run, in the folder where devin-gateway is installed: npm install ${install}`,
    )
  }
}
